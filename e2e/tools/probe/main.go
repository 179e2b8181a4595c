// What a test pod runs: it holds a pod open, looks names up, asks URLs, reads and writes files. Also the sandbox of every pod.
package main

import (
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/signal"
	"strings"
	"syscall"
	"time"
)

// Between two tries; a name or a server of a starting cluster is there within seconds.
const pause = 200 * time.Millisecond

// How long a name, a server or a file may take to appear: a loaded machine needs a minute.
const patience = 2 * time.Minute

var commands = map[string]func([]string) error{
	"hold":  hold,
	"names": func(names []string) error { return each(names, lookUp) },
	"get":   func(urls []string) error { return each(urls, get) },
	"write": write,
	"read":  func(paths []string) error { return each(paths, read) },
	"spend": spend,
}

func main() {
	arguments := os.Args[1:]
	if len(arguments) == 0 {
		arguments = []string{"hold"}
	}
	command, known := commands[arguments[0]]
	if !known {
		fmt.Fprintf(os.Stderr, "probe: %s: no such command; known: hold, names, get, write, read, spend\n", arguments[0])
		os.Exit(2)
	}
	if err := command(arguments[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "probe:", err)
		os.Exit(1)
	}
}

// hold ends at the first request to end, which process 1 of a container must handle by itself.
func hold([]string) error {
	end := make(chan os.Signal, 1)
	signal.Notify(end, syscall.SIGTERM, syscall.SIGINT)
	<-end
	return nil
}

func each(items []string, try func(string) (string, error)) error {
	for _, item := range items {
		deadline := time.Now().Add(patience)
		answer, err := try(item)
		for err != nil && time.Now().Before(deadline) {
			time.Sleep(pause)
			answer, err = try(item)
		}
		if err != nil {
			return fmt.Errorf("%s: %w", item, err)
		}
		fmt.Printf("%s: %s\n", item, answer)
	}
	return nil
}

func lookUp(name string) (string, error) {
	addresses, err := net.LookupHost(name)
	return strings.Join(addresses, " "), err
}

func get(url string) (string, error) {
	client := http.Client{Timeout: 10 * time.Second}
	response, err := client.Get(url)
	if err != nil {
		return "", err
	}
	defer response.Body.Close()
	body, err := io.ReadAll(io.LimitReader(response.Body, 1<<20))
	if response.StatusCode/100 != 2 {
		return "", fmt.Errorf("%s: %s", response.Status, body)
	}
	return fmt.Sprintf("%d %s", response.StatusCode, strings.TrimSpace(string(body))), err
}

func read(path string) (string, error) {
	content, err := os.ReadFile(path)
	return string(content), err
}

// write PATH TEXT
func write(arguments []string) error {
	if len(arguments) != 2 {
		return fmt.Errorf("write takes a path and a text")
	}
	return os.WriteFile(arguments[0], []byte(arguments[1]), 0o644)
}

// spend touches memory until the kernel ends it: what a container above its limit does.
func spend([]string) error {
	var held [][]byte
	for {
		block := make([]byte, 1<<20)
		for at := 0; at < len(block); at += 4096 {
			block[at] = 1
		}
		held = append(held, block)
	}
}

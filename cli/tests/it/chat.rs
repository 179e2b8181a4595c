//! `bedplate chat` against a socket that speaks the protocol badly as well as well.

use std::{
    io::{BufRead, BufReader, Read, Write},
    net::TcpListener,
    process::{Command, Output},
    thread::{self, JoinHandle},
};

/// Answers the requests that come, one canned body each, cut into pieces of seven bytes, and returns what was asked.
fn serve(bodies: Vec<(&'static str, &'static str)>) -> (String, JoinHandle<Vec<String>>) {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let url = format!("http://{}", listener.local_addr().expect("bound"));
    let handle = thread::spawn(move || bodies.into_iter().map(|(head, body)| answer(&listener, head, body)).collect());
    (url, handle)
}

fn answer(listener: &TcpListener, head: &str, body: &str) -> String {
    let (mut socket, _) = listener.accept().expect("a client");
    let mut reader = BufReader::new(socket.try_clone().expect("a second handle"));
    let (mut first, mut length) = (String::new(), 0);
    reader.read_line(&mut first).expect("a request line");
    loop {
        let mut line = String::new();
        reader.read_line(&mut line).expect("a header");
        if line.trim().is_empty() {
            break;
        }
        if let Some(value) = line.to_ascii_lowercase().strip_prefix("content-length:") {
            length = value.trim().parse().expect("a number");
        }
    }
    let mut sent = vec![0; length];
    reader.read_exact(&mut sent).expect("the body");
    write!(socket, "HTTP/1.1 {head}\r\nconnection: close\r\n\r\n").expect("the head goes out");
    for piece in body.as_bytes().chunks(7) {
        socket.write_all(piece).and_then(|()| socket.flush()).expect("a piece goes out");
    }
    format!("{} {}", first.trim(), String::from_utf8_lossy(&sent))
}

fn ask(command: &str, url: &str, args: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_bedplate")).args([command, "--url", url]).args(args).output().expect("starts")
}

const MODELS: (&str, &str) =
    ("200 OK\r\ncontent-type: application/json", r#"{"object":"list","data":[{"id":"smol"}]}"#);

#[test]
fn an_answer_is_streamed_and_the_model_is_found_out() {
    let body = "data: {\"choices\":[{\"delta\":{\"role\":\"assistant\"}}]}\n\ndata: {\"choices\":[{\"delta\":{\"content\":\"Par\"}}]}\n\n\
                data: {\"choices\":[{\"delta\":{\"content\":\"is é\"}}]}\n\ndata: [DONE]\n\n";
    let (url, server) = serve(vec![MODELS, ("200 OK\r\ncontent-type: text/event-stream", body)]);
    let output = ask("chat", &format!("{url}/v1/"), &["--temperature", "0", "-m", "What is the capital of France?"]);
    assert_eq!(String::from_utf8_lossy(&output.stdout), "Paris é\n");
    let asked = server.join().expect("the server ends");
    assert!(asked[0].starts_with("GET /v1/models "), "{asked:?}");
    assert!(asked[1].starts_with("POST /v1/chat/completions ") && asked[1].contains(r#""model":"smol""#), "{asked:?}");
}

#[test]
fn a_refusal_is_told_in_the_servers_words() {
    let (url, server) =
        serve(vec![("429 Too Many Requests\r\nretry-after: 1", r#"{"error":{"message":"the queue is full"}}"#)]);
    let output = ask("complete", &url, &["--model", "m", "pub fn "]);
    assert_eq!(output.status.code(), Some(1));
    let told = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(told.contains("429") && told.contains("the queue is full"), "{told}");
    assert!(server.join().expect("ends")[0].starts_with("POST /v1/completions "));
}

#[test]
fn an_answer_that_breaks_off_is_no_answer() {
    let body = "data: {\"choices\":[{\"text\":\"fn\"}]}\n\n";
    let (url, server) = serve(vec![("200 OK\r\ncontent-type: text/event-stream", body)]);
    let output = ask("complete", &url, &["--model", "m", "pub "]);
    assert_eq!(String::from_utf8_lossy(&output.stdout), "pub fn");
    assert!(String::from_utf8_lossy(&output.stderr).contains("[DONE]"));
    server.join().expect("ends");
}

#[test]
fn nobody_there_is_said_with_the_remedy() {
    let free = TcpListener::bind("127.0.0.1:0").and_then(|listener| listener.local_addr()).expect("a port");
    let output = ask("chat", &format!("http://{free}"), &["-m", "hello"]);
    let told = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(told.contains("--url") && output.status.code() == Some(1), "{told}");
}

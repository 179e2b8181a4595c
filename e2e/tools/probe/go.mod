module bedplate.dev/e2e/tools/probe

go 1.26.0

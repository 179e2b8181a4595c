//! `bedplate chat` and `bedplate complete`: terminal clients of any OpenAI-compatible endpoint.
//!
//! Owns the conversation and the terminal. Never knows which server answers.

pub mod client;
pub mod endpoint;
pub mod sse;

use std::io::{IsTerminal, Write};

use tokio::sync::mpsc;

use crate::args::{ChatArgs, CompleteArgs, EndpointArgs};
use client::{Ask, ChatError, Client, Message, Sampling};

/// Answers one message, or holds a conversation until the input ends.
pub async fn chat(args: ChatArgs) -> Result<(), ChatError> {
    let ChatArgs { message, system, endpoint } = args;
    let Asked { client, model, sampling } = asked(endpoint).await?;
    let mut messages: Vec<Message> = system.into_iter().map(|text| Message::new("system", text)).collect();
    let Some(message) = message else { return converse(&client, &model, sampling, messages).await };
    messages.push(Message::new("user", message));
    print_answer(&client, &model, sampling, Ask::Chat(messages)).await.map(drop)
}

/// Prints the text and what the model continues it with.
pub async fn complete(args: CompleteArgs) -> Result<(), ChatError> {
    let CompleteArgs { prompt, endpoint } = args;
    let Asked { client, model, sampling } = asked(endpoint).await?;
    show(&prompt)?;
    print_answer(&client, &model, sampling, Ask::Complete(prompt)).await.map(drop)
}

/// Whom to ask, and how.
struct Asked {
    client: Client,
    model: String,
    sampling: Sampling,
}

async fn asked(args: EndpointArgs) -> Result<Asked, ChatError> {
    let EndpointArgs { url, deployment, state, model, max_tokens, temperature, api_key } = args;
    let url = match url {
        Some(url) => url,
        None => endpoint::running(&state, deployment.as_deref())?,
    };
    let client = Client::new(&url, api_key)?;
    let model = match model {
        Some(model) => model,
        None => client.first_model().await?,
    };
    Ok(Asked { client, model, sampling: Sampling { max_tokens, temperature } })
}

/// Reads a line, prints the answer, remembers both; Ctrl-C cuts an answer short, Ctrl-D leaves.
async fn converse(
    client: &Client,
    model: &str,
    sampling: Sampling,
    mut messages: Vec<Message>,
) -> Result<(), ChatError> {
    let terminal = std::io::stdin().is_terminal();
    if terminal {
        println!("{model} at {}. Ctrl-C stops an answer, Ctrl-D leaves.", client.base_url());
    }
    let mut lines = input_lines();
    loop {
        if terminal {
            show("> ")?;
        }
        let Some(line) = lines.recv().await.transpose().map_err(ChatError::ReadInput)? else { return Ok(()) };
        if line.trim().is_empty() {
            continue;
        }
        messages.push(Message::new("user", line));
        let answer = tokio::select! {
            answer = print_answer(client, model, sampling, Ask::Chat(messages.clone())) => answer,
            _ = tokio::signal::ctrl_c() => { println!(); messages.pop(); continue }
        };
        match answer {
            Ok(text) => messages.push(Message::new("assistant", text)),
            // A refused turn (too long, queue full) must not end the conversation.
            Err(error @ ChatError::Refused { .. }) => {
                eprintln!("{error}");
                messages.pop();
            }
            Err(error) => return Err(error),
        }
    }
}

/// Lines of standard input, from a thread of its own: a blocked read must not keep the program from ending.
fn input_lines() -> mpsc::Receiver<std::io::Result<String>> {
    // One line at a time: what is typed during an answer waits in the terminal.
    let (sender, receiver) = mpsc::channel(1);
    std::thread::spawn(move || {
        for line in std::io::stdin().lines() {
            if sender.blocking_send(line).is_err() {
                return;
            }
        }
    });
    receiver
}

/// Prints the pieces as they come and returns the whole.
async fn print_answer(client: &Client, model: &str, sampling: Sampling, ask: Ask) -> Result<String, ChatError> {
    let mut whole = String::new();
    let mut answer = client.ask(model, sampling, ask).await?;
    while let Some(piece) = answer.next().await? {
        show(&piece)?;
        whole.push_str(&piece);
    }
    println!();
    Ok(whole)
}

fn show(text: &str) -> Result<(), ChatError> {
    let mut out = std::io::stdout().lock();
    out.write_all(text.as_bytes()).and_then(|()| out.flush()).map_err(ChatError::WriteOutput)
}

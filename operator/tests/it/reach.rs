//! Servers that are not there, and addresses that are none: said in words, within a bound, without the password.

use std::time::{Duration, Instant};

use bedplate_operator::store::{Endpoint, Store};
use bedplate_telemetry::chain::Chain;

use crate::database::Database;

const PASSWORD: &str = "s3cret-pa55word";

async fn refusal(url: &str) -> String {
    let error = match Endpoint::from_url(url) {
        Ok(endpoint) => {
            assert!(!format!("{endpoint:?}").contains(PASSWORD));
            Store::connect(&endpoint).await.unwrap_err()
        }
        Err(error) => error,
    };
    assert!(!format!("{error:?}").contains(PASSWORD), "{error:?}");
    Chain(&error).to_string()
}

#[tokio::test]
async fn a_server_that_is_not_there_is_named_with_the_setting_that_named_it() {
    // A port that was free a moment ago.
    let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let text = refusal(&format!("postgres://me:{PASSWORD}@127.0.0.1:{port}/history")).await;
    assert!(text.contains(&format!("127.0.0.1:{port}/history")) && text.contains("DATABASE_URL"), "{text}");
    assert!(!text.contains(PASSWORD), "{text}");
}

#[tokio::test]
async fn a_server_that_never_answers_is_given_up() {
    let silent = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let begun = Instant::now();
    let text = refusal(&format!("postgres://me:{PASSWORD}@{}/history", silent.local_addr().unwrap())).await;
    assert!(text.contains("did not answer within 5 s") && !text.contains(PASSWORD), "{text}");
    assert!(begun.elapsed() < Duration::from_secs(30));
}

#[tokio::test]
async fn an_address_that_is_none_is_shown_how_to_write_one() {
    for url in [
        format!("mysql://me:{PASSWORD}@host/db"),
        PASSWORD.to_owned(),
        format!("postgres://me:{PASSWORD}@host:port/db"),
    ] {
        let text = refusal(&url).await;
        assert!(text.contains("postgres://USER:PASSWORD@HOST:5432/DATABASE") && !text.contains(PASSWORD), "{text}");
    }
}

#[tokio::test]
async fn a_database_that_does_not_exist_is_named() {
    let database = Database::empty().await;
    let endpoint = database.endpoint().clone().with_database("no_such_database");
    let error = Store::connect(&endpoint).await.unwrap_err();
    assert!(Chain(&error).to_string().contains("\"no_such_database\" does not exist"), "{}", Chain(&error));
}

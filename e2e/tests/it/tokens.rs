//! Who may report progress: a pod for its own resource. Every other token is refused by the API server's own review.

use tokio::runtime::Runtime;
use tonic::{
    Code, Request,
    transport::{Certificate, Channel, ClientTlsConfig, Endpoint},
};

use crate::{
    cluster::{Cluster, wait_for},
    history::psql,
    install::SYSTEM,
    jwt,
    namespace::Namespace,
    recipe::{self, wait_phase},
};

/// The progress API as pods know it.
#[allow(missing_docs, clippy::all, clippy::pedantic)]
mod v1alpha1 {
    tonic::include_proto!("bedplate.progress.v1alpha1");
}
use v1alpha1::{ReportRequest, Reporter, progress_client::ProgressClient};

/// The host of the operator's Service in its certificate.
const HOST: &str = "bedplate-operator.bedplate-system.svc";

async fn connect(cluster: &Cluster) -> ProgressClient<Channel> {
    let get = |object: &str, path: &str| {
        cluster.kubectl(&["--namespace", SYSTEM, "get", object, &format!("--output={path}")])
    };
    let authority = get("secret/bedplate-operator-tls", r"go-template={{index .data `ca.crt` | base64decode}}");
    let address = get("service/bedplate-operator", "jsonpath={.spec.clusterIP}");
    let tls = ClientTlsConfig::new().ca_certificate(Certificate::from_pem(authority)).domain_name(HOST);
    let endpoint = Endpoint::from_shared(format!("https://{address}:8443")).expect("an address");
    let endpoint = endpoint.tls_config(tls).expect("the authority's certificate");
    ProgressClient::new(endpoint.connect().await.expect("the progress API answers"))
}

/// Reports for the Dataset `text` that it failed, in words by which the report is found again.
fn report(cluster: &Cluster, namespace: &str, uid: &str, token: Option<&str>, words: &str) -> Result<(), Code> {
    let reporter = Reporter {
        kind: "Dataset".to_owned(),
        namespace: namespace.to_owned(),
        name: "text".to_owned(),
        uid: uid.to_owned(),
        file: words.to_owned(),
    };
    let lines = vec![
        r#"{"timeSeconds": 1800000000, "event": "started", "pid": 1}"#.to_owned(),
        format!(r#"{{"timeSeconds": 1800000001, "event": "failed", "message": "{words}", "exitCode": 11}}"#),
    ];
    let mut request = Request::new(ReportRequest { reporter: Some(reporter), first_line: 0, lines });
    if let Some(token) = token {
        request.metadata_mut().insert("authorization", format!("Bearer {token}").parse().expect("a header"));
    }
    let call = async { connect(cluster).await.report(request).await };
    let runtime = Runtime::new().expect("a runtime");
    runtime.block_on(call).map(|_| ()).map_err(|status| status.code())
}

/// A token of the namespace's default service account.
fn token(namespace: &Namespace, more: &[&str]) -> String {
    namespace.kubectl(&[&["create", "token", "default"], more].concat())
}

/// A genuine token that is no longer good, since what it was bound to is gone.
fn revoked(namespace: &Namespace, audience: &str) -> String {
    namespace.kubectl(&["create", "secret", "generic", "bound"]);
    let bound = ["--bound-object-kind=Secret", "--bound-object-name=bound", audience];
    let token = token(namespace, &bound);
    namespace.kubectl(&["delete", "secret", "bound"]);
    token
}

/// The same token with another signature.
fn forged(token: &str) -> String {
    let (claims, signature) = token.rsplit_once('.').expect("a signed token");
    format!("{claims}.{}", signature.chars().rev().collect::<String>())
}

#[test]
fn a_token_that_is_forged_foreign_expired_or_revoked_reports_nothing() {
    let _shared = Cluster::shared();
    let foreign = recipe::namespace("e2e-tokens-foreign");
    let namespace = recipe::namespace("e2e-tokens");
    for name in ["text", "other"] {
        namespace.apply(&recipe::dataset(name));
        wait_phase(&namespace, &format!("dataset/{name}"), "Ready");
    }
    let uid = namespace.value("dataset/text", "{.metadata.uid}");
    let audience = |uid: &str| format!("--audience=bedplate.dev/{uid}");
    let good = token(&namespace, &[&audience(&uid)]);
    let refused = [
        ("of another resource", token(&namespace, &[&audience(&namespace.value("dataset/other", "{.metadata.uid}"))])),
        ("of another namespace", token(&foreign, &[&audience(&uid)])),
        ("for the API server", token(&namespace, &[])),
        ("revoked", revoked(&namespace, &audience(&uid))),
        ("expired", jwt::signed_again(&namespace.cluster, &good, |claims| jwt::aged(claims, 7200))),
        ("forged", forged(&good)),
        ("no token at all", "e30.e30.e30".to_owned()),
    ];
    let expected =
        [Code::PermissionDenied, Code::PermissionDenied].into_iter().chain(std::iter::repeat(Code::Unauthenticated));
    for ((what, token), code) in refused.iter().zip(expected) {
        let told = report(&namespace.cluster, "e2e-tokens", &uid, Some(token), "a forged report");
        assert_eq!(told, Err(code), "a token {what}");
    }
    let told = report(&namespace.cluster, "e2e-tokens", &uid, None, "a forged report");
    assert_eq!(told, Err(Code::Unauthenticated), "without a token");
    // Signed in the same way and a minute old: what is expired above is refused for its time, not for its signature.
    let young = jwt::signed_again(&namespace.cluster, &good, |claims| jwt::aged(claims, 60));
    for own in [&good, &young] {
        let told = report(&namespace.cluster, "e2e-tokens", &uid, Some(own), "a genuine report");
        assert_eq!(told, Ok(()), "its own token");
    }
    let kept = format!(
        "select failure from bedplate.attempts a join bedplate.runs r on r.id = a.run_id \
         where r.origin = '{uid}' and failure is not null"
    );
    wait_for("the one genuine report is in the history", || {
        let failures = psql(&namespace.cluster, &kept);
        if failures == "a genuine report" { Ok(()) } else { Err(failures) }
    });
}

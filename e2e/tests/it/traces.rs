//! One trace from the operator through the trainer to an answer: a collector on this machine sees it all.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::SocketAddr,
    sync::{Arc, Mutex},
};

use opentelemetry_proto::tonic::{
    collector::trace::v1::{
        ExportTraceServiceRequest, ExportTraceServiceResponse,
        trace_service_server::{TraceService, TraceServiceServer},
    },
    common::v1::any_value::Value,
    trace::v1::ResourceSpans,
};
use tonic::{Request, Response, Status};

use crate::{
    cluster::{Cluster, wait_for},
    install::helm,
    namespace::Namespace,
    recipe::{self, SHORT, Shape, wait_phase},
    serving::ask,
};

/// Where pods reach this machine (`e2e/cluster/settings.sh`), at OTLP's port.
const COLLECTOR: &str = "10.245.0.1:4317";
/// A trace that somebody else began, and the span in it that a resource is to belong below.
const TRACE: &str = "0af7651916cd43dd8448eb211c80319c";
const PARENT: &str = "b7ad6b7169203331";

/// One span: whose, and what.
type Seen = (String, String);

/// Remembers the spans of each trace that are below another span.
#[derive(Clone, Default)]
struct Collector(Arc<Mutex<BTreeMap<String, BTreeSet<Seen>>>>);

impl Collector {
    fn take(&self, spans: ResourceSpans) {
        let attributes = spans.resource.unwrap_or_default().attributes;
        let service = attributes.into_iter().find(|attribute| attribute.key == "service.name");
        let Some(Value::StringValue(service)) = service.and_then(|attribute| attribute.value?.value) else { return };
        let mut traces = self.0.lock().expect("no test panics in it");
        let below =
            spans.scope_spans.into_iter().flat_map(|scope| scope.spans).filter(|span| !span.parent_span_id.is_empty());
        for span in below {
            traces.entry(hexadecimal(&span.trace_id)).or_default().insert((service.clone(), span.name));
        }
    }

    fn trace(&self, id: &str) -> BTreeSet<Seen> {
        self.0.lock().expect("no test panics in it").get(id).cloned().unwrap_or_default()
    }
}

#[tonic::async_trait]
impl TraceService for Collector {
    async fn export(
        &self,
        request: Request<ExportTraceServiceRequest>,
    ) -> Result<Response<ExportTraceServiceResponse>, Status> {
        request.into_inner().resource_spans.into_iter().for_each(|spans| self.take(spans));
        Ok(Response::new(ExportTraceServiceResponse::default()))
    }
}

fn hexadecimal(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Waits until a trace holds all of these.
fn wait_spans(collector: &Collector, trace: &str, wanted: &[(&str, &str)]) {
    wait_for(&format!("trace {trace} holds all of it"), || {
        let seen = collector.trace(trace);
        let is_there = |(service, name): &(&str, &str)| seen.contains(&((*service).to_owned(), (*name).to_owned()));
        if wanted.iter().all(is_there) { Ok(()) } else { Err(format!("{seen:?}")) }
    });
}

#[test]
fn one_trace_holds_the_reconciles_the_steps_and_the_answers() {
    let _alone = Cluster::alone();
    let collector = Collector::default();
    let service = TraceServiceServer::new(collector.clone());
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let address: SocketAddr = COLLECTOR.parse().unwrap();
    runtime.spawn(tonic::transport::Server::builder().add_service(service).serve(address));
    let namespace = recipe::namespace("e2e-traces");
    helm(&namespace.cluster, &[&format!("otlp.endpoint=http://{COLLECTOR}")]);
    let manifests = recipe::dataset("text")
        + &recipe::training("small", "text", Shape { nodes: 1, steps: SHORT, more: "" })
        + &recipe::deployment("served", "small");
    namespace.apply(&manifests);
    wait_phase(&namespace, "modeldeployment/served", "Ready");
    ask(&namespace, "served", "v1/completions", r#"{"model": "served", "prompt": "pub fn ", "max_tokens": 4}"#);
    // The Dataset is what all of it is made from.
    let trace = namespace.value("dataset/text", "{.metadata.uid}").replace('-', "");
    let answer = ("bedplate-inference", "text_completion served");
    let all = [
        ("bedplate-operator", "reconcile"),
        ("bedplate-dataset", "dataset"),
        ("bedplate-trainer", "training"),
        ("bedplate-trainer", "step"),
        answer,
    ];
    wait_spans(&collector, &trace, &all);
    the_next_pod_joins_the_trace_of_an_annotation(&namespace, &collector, answer);
    helm(&namespace.cluster, &[]);
}

/// An annotation replaces no pod by itself.
fn the_next_pod_joins_the_trace_of_an_annotation(namespace: &Namespace, collector: &Collector, answer: (&str, &str)) {
    let pods = ["get", "pods", "--selector=bedplate.dev/name=served", "--output=jsonpath={.items[*].metadata.name}"];
    let before = namespace.kubectl(&pods);
    let annotation = format!("bedplate.dev/traceparent=00-{TRACE}-{PARENT}-01");
    namespace.kubectl(&["annotate", "modeldeployment/served", &annotation]);
    wait_spans(collector, TRACE, &[("bedplate-operator", "reconcile")]);
    assert_eq!(namespace.kubectl(&pods), before, "an annotation replaced the pod");
    namespace.kubectl(&["delete", "pods", "--selector=bedplate.dev/name=served"]);
    wait_phase(namespace, "modeldeployment/served", "Ready");
    ask(namespace, "served", "v1/completions", r#"{"model": "served", "prompt": "pub fn ", "max_tokens": 4}"#);
    wait_spans(collector, TRACE, &[answer]);
}

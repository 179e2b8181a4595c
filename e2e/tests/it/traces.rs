//! One trace from the operator through the trainer to an answer: a collector on this machine sees it all.

use std::{
    collections::BTreeSet,
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
    recipe::{self, SHORT, Shape, wait_phase},
    serving::ask,
};

/// Where pods reach this machine (`e2e/cluster/settings.sh`), at OTLP's port.
const COLLECTOR: &str = "10.245.0.1:4317";
/// The trace that the resources are annotated with, and the span in it that they belong below.
const TRACE: &str = "0af7651916cd43dd8448eb211c80319c";
const PARENT: &str = "b7ad6b7169203331";

/// One span: whose, what, and whether it is a child of another.
type Seen = (String, String, bool);

/// Remembers the spans of one trace.
#[derive(Clone, Default)]
struct Collector(Arc<Mutex<BTreeSet<Seen>>>);

impl Collector {
    fn take(&self, spans: ResourceSpans) {
        let attributes = spans.resource.unwrap_or_default().attributes;
        let service = attributes.into_iter().find(|attribute| attribute.key == "service.name");
        let Some(Value::StringValue(service)) = service.and_then(|attribute| attribute.value?.value) else { return };
        let of_trace = spans.scope_spans.into_iter().flat_map(|scope| scope.spans);
        let of_trace = of_trace.filter(|span| span.trace_id == number(TRACE));
        let seen = of_trace.map(|span| (service.clone(), span.name, !span.parent_span_id.is_empty()));
        self.0.lock().expect("no test panics in it").extend(seen);
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

/// The bytes that hexadecimal digits stand for.
fn number(digits: &str) -> Vec<u8> {
    let byte = |at: usize| u8::from_str_radix(&digits[at..at + 2], 16).expect("hexadecimal digits");
    (0..digits.len()).step_by(2).map(byte).collect()
}

#[test]
fn one_trace_holds_the_reconcile_the_steps_and_the_answer() {
    let _alone = Cluster::alone();
    let address: SocketAddr = COLLECTOR.parse().unwrap();
    let collector = Collector::default();
    let service = TraceServiceServer::new(collector.clone());
    let runtime = tokio::runtime::Runtime::new().unwrap();
    runtime.spawn(tonic::transport::Server::builder().add_service(service).serve(address));
    let namespace = recipe::namespace("e2e-traces");
    helm(&namespace.cluster, &[&format!("otlp.endpoint=http://{COLLECTOR}")]);
    let manifests = recipe::dataset("text")
        + &recipe::training("small", "text", Shape { nodes: 1, steps: SHORT, more: "" })
        + &recipe::deployment("served", "small");
    let annotated = format!(", annotations: {{bedplate.dev/traceparent: 00-{TRACE}-{PARENT}-01}}}}\nspec:");
    namespace.apply(&manifests.replace("}\nspec:", &annotated));
    wait_phase(&namespace, "modeldeployment/served", "Ready");
    ask(&namespace, "served", "v1/completions", r#"{"model": "served", "prompt": "pub fn ", "max_tokens": 4}"#);
    let wanted = [
        ("bedplate-operator", "reconcile"),
        ("bedplate-dataset", "dataset"),
        ("bedplate-trainer", "training"),
        ("bedplate-trainer", "step"),
        ("bedplate-inference", "text_completion served"),
    ];
    wait_for("one trace holds all of it", || {
        let seen = collector.0.lock().unwrap();
        let is_there =
            |(service, name): &(&str, &str)| seen.contains(&((*service).to_owned(), (*name).to_owned(), true));
        if wanted.iter().all(is_there) { Ok(()) } else { Err(format!("{seen:?}")) }
    });
    helm(&namespace.cluster, &[]);
}

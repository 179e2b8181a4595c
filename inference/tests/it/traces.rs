//! A request's trace reaches a collector, as a child of the caller's span and in GenAI's names.

use std::collections::BTreeMap;

use opentelemetry_proto::tonic::{
    collector::trace::v1::{
        ExportTraceServiceRequest, ExportTraceServiceResponse,
        trace_service_server::{TraceService, TraceServiceServer},
    },
    common::v1::{KeyValue, any_value::Value},
    trace::v1::{ResourceSpans, Span},
};
use serde_json::json;
use tokio::sync::mpsc;
use tonic::{Request, Response, Status};

use crate::{
    fixture::{Api, DEADLINE},
    process::Process,
};

/// A collector that hands on what it is sent.
struct Collector(mpsc::Sender<ResourceSpans>);

#[tonic::async_trait]
impl TraceService for Collector {
    async fn export(
        &self,
        request: Request<ExportTraceServiceRequest>,
    ) -> Result<Response<ExportTraceServiceResponse>, Status> {
        for spans in request.into_inner().resource_spans {
            self.0.send(spans).await.map_err(|_| Status::unavailable("the test is over"))?;
        }
        Ok(Response::new(ExportTraceServiceResponse::default()))
    }
}

fn texts(attributes: &[KeyValue]) -> BTreeMap<&str, String> {
    let text = |attribute: &KeyValue| match attribute.value.as_ref()?.value.as_ref()? {
        Value::StringValue(text) => Some(text.clone()),
        Value::IntValue(number) => Some(number.to_string()),
        _ => None,
    };
    attributes.iter().filter_map(|attribute| Some((attribute.key.as_str(), text(attribute)?))).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_streamed_chat_is_a_child_span_of_the_callers() {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let endpoint = format!("http://{}", listener.local_addr().unwrap());
    let (sender, mut spans) = mpsc::channel(64);
    let incoming = tokio_stream::wrappers::TcpListenerStream::new(listener);
    let collector = TraceServiceServer::new(Collector(sender));
    tokio::spawn(tonic::transport::Server::builder().add_service(collector).serve_with_incoming(incoming));

    let mut process = Process::with_environment(&[("OTEL_EXPORTER_OTLP_ENDPOINT", &endpoint)], |_| {});
    let api = Api::new(process.url());
    let body = json!({
        "messages": [{ "role": "user", "content": "hi" }], "max_tokens": 7, "stream": true, "ignore_eos": true,
    });
    let parent = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
    let request = api.client.post(format!("{}/v1/chat/completions", api.url)).header("traceparent", parent).json(&body);
    assert!(request.send().await.unwrap().text().await.unwrap().ends_with("[DONE]\n\n"));
    process.terminate();

    let span = async {
        loop {
            let resource = spans.recv().await.expect("the collector runs to the end of the test");
            let service = texts(&resource.resource.unwrap().attributes)["service.name"].clone();
            assert_eq!(service, "bedplate-inference");
            let found =
                resource.scope_spans.into_iter().flat_map(|scope| scope.spans).find(|span| span.name == "chat tiny");
            if let Some(span) = found {
                break span;
            }
        }
    };
    let span: Span = tokio::time::timeout(DEADLINE, span).await.expect("the span arrives");
    assert_eq!(span.trace_id, 0x0af7_6519_16cd_43dd_8448_eb21_1c80_319c_u128.to_be_bytes());
    assert_eq!(span.parent_span_id, 0xb7ad_6b71_6920_3331_u64.to_be_bytes());
    let attributes = texts(&span.attributes);
    assert_eq!(attributes["gen_ai.operation.name"], "chat");
    assert_eq!(attributes["gen_ai.request.model"], "tiny");
    assert_eq!(attributes["gen_ai.usage.output_tokens"], "7");
    assert_eq!(attributes["gen_ai.response.finish_reasons"], "length");
    assert_eq!(attributes["http.response.status_code"], "200");
    assert_eq!(process.wait().code(), Some(0));
}

//! The gRPC twin of the HTTP endpoint: the same requests, the same path, the same errors.
//!
//! Owns the translation between the messages of `proto/` and the service. Cancelling a call drops its stream, and with
//! it the sequence.

use std::{pin::Pin, sync::Arc};

use bedplate_telemetry::trace_context;
use futures::{Stream, StreamExt, stream};
use tonic::{
    Code, Request, Response, Status,
    metadata::{MetadataMap, MetadataValue},
};
use tracing::Span;

use crate::{
    engine_thread::FinishReason,
    error::ApiError,
    generation::{Generation, Piece, Usage},
    request::{AnswerLength, Asked, GenerationOptions, StopStrings, TruncationSide},
    seed::Seed,
    service::{ChatOptions, Service},
};

/// Messages, server and client, generated from `proto/`.
#[allow(missing_docs, clippy::all, clippy::pedantic)]
pub mod v1 {
    tonic::include_proto!("bedplate.inference.v1");
}

use v1::inference_server::{Inference, InferenceServer};

/// Tokens of an answer to a plain prompt where the client names no number, as over HTTP.
const DEFAULT_MAX_TOKENS: u64 = 16;

/// The gRPC endpoint of `service`.
pub fn server(service: Arc<Service>) -> InferenceServer<Endpoint> {
    InferenceServer::new(Endpoint { service })
}

/// Answers the calls.
#[derive(Debug)]
pub struct Endpoint {
    service: Arc<Service>,
}

type Pieces = Pin<Box<dyn Stream<Item = Result<v1::GenerateResponse, Status>> + Send>>;

#[tonic::async_trait]
impl Inference for Endpoint {
    type GenerateStream = Pieces;
    type ChatStream = Pieces;

    async fn generate(&self, request: Request<v1::GenerateRequest>) -> Result<Response<Pieces>, Status> {
        let span = span("text_completion", &self.service.model_name, request.metadata());
        self.answer(request.into_inner(), span, |service, request| {
            let v1::GenerateRequest { model, prompt, options } = request;
            service.check_model(named(&model))?;
            let prompt = match prompt {
                Some(v1::generate_request::Prompt::Text(text)) => service.encode_prompt(&text, "prompt")?,
                Some(v1::generate_request::Prompt::Tokens(tokens)) => tokens.ids,
                None => return Err(ApiError::invalid("prompt", "prompt is missing; write text or tokens")),
            };
            begin(service, prompt, options.unwrap_or_default(), Some(DEFAULT_MAX_TOKENS))
        })
        .await
    }

    async fn chat(&self, request: Request<v1::ChatRequest>) -> Result<Response<Pieces>, Status> {
        let span = span("chat", &self.service.model_name, request.metadata());
        self.answer(request.into_inner(), span, |service, request| {
            let v1::ChatRequest { model, messages, options, add_generation_prompt, continue_final_message } = request;
            service.check_model(named(&model))?;
            let continue_final_message = continue_final_message.unwrap_or(false);
            let mut chat = ChatOptions::for_answer();
            chat.render.continue_final_message = continue_final_message;
            chat.render.add_generation_prompt = add_generation_prompt.unwrap_or(!continue_final_message);
            let message =
                |message: v1::ChatMessage| bedplate_tokenizer::ChatMessage::new(message.role, message.content);
            let messages: Vec<_> = messages.into_iter().map(message).collect();
            let prompt = service.encode_chat(messages, &chat)?;
            begin(service, prompt, options.unwrap_or_default(), None)
        })
        .await
    }

    async fn list_models(
        &self,
        _request: Request<v1::ListModelsRequest>,
    ) -> Result<Response<v1::ListModelsResponse>, Status> {
        let max_model_len = self.service.limits.max_model_len as u64;
        let eos_token_ids = self.service.tokenizer.eos_token_ids().to_vec();
        let models = vec![v1::Model { id: self.service.model_name.clone(), max_model_len, eos_token_ids }];
        Ok(Response::new(v1::ListModelsResponse { models }))
    }
}

impl Endpoint {
    /// Prepares a request where it holds up nobody, as [`Intake`](crate::intake::Intake) says, and streams its answer.
    async fn answer<M: prost::Message + 'static>(
        &self,
        request: M,
        span: Span,
        prepare: impl FnOnce(&Service, M) -> Result<Vec<Generation>, ApiError> + Send + 'static,
    ) -> Result<Response<Pieces>, Status> {
        let service = self.service.clone();
        let reservation = service.reserve(Some(request.encoded_len()))?;
        let generations = reservation.run(move || prepare(&service, request)).await??;
        let pieces = stream::iter(generations).flat_map(move |generation| messages(generation, span.clone()));
        Ok(Response::new(Box::pin(pieces)))
    }
}

/// The model that a message names; an empty name means none.
fn named(model: &str) -> Option<&str> {
    Some(model).filter(|model| !model.is_empty())
}

fn begin(
    service: &Service,
    prompt: Vec<u32>,
    options: v1::GenerationOptions,
    default_max_tokens: Option<u64>,
) -> Result<Vec<Generation>, ApiError> {
    service.check_embedded(&prompt, "prompt")?;
    let asked = Asked {
        prompts: vec![prompt],
        prompt_param: "prompt",
        length: AnswerLength { asked: options.max_tokens, default: default_max_tokens },
        top_logprobs: options.top_logprobs,
    };
    service.generate(service.requests(options_of(options)?, asked)?)
}

fn messages(mut generation: Generation, span: Span) -> impl Stream<Item = Result<v1::GenerateResponse, Status>> + Send {
    stream::poll_fn(move |context| {
        let _entered = span.enter();
        generation.poll_next_unpin(context).map(|piece| {
            let usage = generation.usage();
            Some(piece?.map(|piece| response(piece, usage)).map_err(Status::from))
        })
    })
}

fn response(piece: Piece, usage: Usage) -> v1::GenerateResponse {
    let tokens = piece.tokens.into_iter().map(|token| v1::Token {
        id: token.id,
        logprob: token.logprobs.as_ref().map(|logprobs| logprobs.chosen.1),
        top_logprobs: token
            .logprobs
            .into_iter()
            .flat_map(|logprobs| logprobs.top)
            .map(|(id, logprob)| v1::TokenLogprob { id, logprob })
            .collect(),
    });
    let finish_reason = match piece.finish {
        None => v1::FinishReason::Unspecified,
        Some(FinishReason::Stop) => v1::FinishReason::Stop,
        Some(FinishReason::Length) => v1::FinishReason::Length,
    };
    let Usage { prompt_tokens, completion_tokens, cached_tokens } = usage;
    v1::GenerateResponse {
        text: piece.text,
        tokens: tokens.collect(),
        finish_reason: finish_reason.into(),
        usage: piece.finish.map(|_| v1::Usage {
            prompt_tokens: prompt_tokens as u64,
            completion_tokens: completion_tokens as u64,
            cached_tokens: cached_tokens as u64,
        }),
    }
}

fn options_of(options: v1::GenerationOptions) -> Result<GenerationOptions, ApiError> {
    // The two that are left out are not options of sampling: the caller has taken them already.
    let v1::GenerationOptions {
        max_tokens: _,
        temperature,
        top_p,
        top_k,
        min_p,
        seed,
        presence_penalty,
        frequency_penalty,
        repetition_penalty,
        logit_bias,
        stop,
        ignore_eos,
        top_logprobs: _,
        stop_token_ids,
        allowed_token_ids,
        bad_words,
        min_tokens,
        skip_special_tokens,
        include_stop_str_in_output,
        truncate_prompt_tokens,
        truncation_side,
    } = options;
    let truncation_side = match v1::TruncationSide::try_from(truncation_side) {
        Ok(v1::TruncationSide::Unspecified) => None,
        Ok(v1::TruncationSide::Left) => Some(TruncationSide::Left),
        Ok(v1::TruncationSide::Right) => Some(TruncationSide::Right),
        Err(_) => return Err(ApiError::invalid("truncation_side", "truncation_side is neither left nor right")),
    };
    Ok(GenerationOptions {
        temperature,
        top_p,
        top_k,
        min_p,
        seed: seed.map(Seed::from),
        presence_penalty,
        frequency_penalty,
        repetition_penalty,
        logit_bias: Some(logit_bias.into_iter().collect()),
        stop: Some(StopStrings::Many(stop)),
        n: None,
        ignore_eos,
        // A list that is absent and one that is empty look alike here.
        allowed_token_ids: Some(allowed_token_ids).filter(|ids| !ids.is_empty()),
        bad_words: Some(bad_words),
        stop_token_ids: Some(stop_token_ids),
        min_tokens,
        skip_special_tokens,
        include_stop_str_in_output,
        truncate_prompt_tokens,
        truncation_side,
    })
}

/// The span of a call, a child of the caller's where it names one.
fn span(operation: &str, model: &str, metadata: &MetadataMap) -> Span {
    let span = tracing::info_span!(
        "request",
        otel.name = %format_args!("{operation} {model}"),
        otel.kind = "server",
        rpc.system = "grpc",
        gen_ai.operation.name = operation,
        gen_ai.provider.name = "bedplate",
        gen_ai.request.model = model,
    );
    let parent = metadata.get(trace_context::TRACEPARENT).and_then(|value| value.to_str().ok());
    trace_context::continue_from_caller(&span, parent);
    span
}

impl From<ApiError> for Status {
    fn from(error: ApiError) -> Self {
        let code = match &error {
            ApiError::Invalid { .. } => Code::InvalidArgument,
            ApiError::ContextLength { .. } | ApiError::TextTooLong { .. } => Code::OutOfRange,
            ApiError::UnknownModel { .. } => Code::NotFound,
            ApiError::UnknownPath { .. } | ApiError::WrongMethod { .. } => Code::Unimplemented,
            ApiError::BodyTooLarge { .. } | ApiError::QueueFull { .. } | ApiError::IntakeFull { .. } => {
                Code::ResourceExhausted
            }
            ApiError::BodyTooSlow { .. } => Code::DeadlineExceeded,
            ApiError::ShuttingDown => Code::Unavailable,
            ApiError::EngineFailed | ApiError::NotFinite | ApiError::Internal => Code::Internal,
        };
        let mut status = Self::new(code, error.to_string());
        if let Some(seconds) = error.retry_after_seconds() {
            status.metadata_mut().insert("retry-after", MetadataValue::from(seconds));
        }
        status
    }
}

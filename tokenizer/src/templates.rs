//! The chat templates of one model: the one that is used unless another is asked for, and named ones.
//!
//! Owns the choice between them and with whatever a request brings along. A template that does not compile keeps nobody
//! from using the tokenizer. Never renders.

use std::{collections::BTreeMap, sync::Arc};

use crate::chat::{ChatTemplate, ChatTemplateError, SpecialTokens};

/// Name of the template that is used unless another is asked for.
pub(crate) const DEFAULT: &str = "default";

/// The templates and the special tokens they may write.
#[derive(Debug, Default)]
pub(crate) struct Templates {
    default: Option<Result<Arc<ChatTemplate>, ChatTemplateError>>,
    named: BTreeMap<String, String>,
    special_tokens: SpecialTokens,
}

impl Templates {
    /// From their sources by name; the default one is compiled.
    pub(crate) fn new(named: BTreeMap<String, String>, special_tokens: SpecialTokens) -> Self {
        let source = named.get(DEFAULT);
        let default = source.map(|source| ChatTemplate::new(source, special_tokens.clone()).map(Arc::new));
        Self { default, named, special_tokens }
    }

    /// The template called `asked`, or else the one whose source it is; without it the default one.
    pub(crate) fn choose(&self, asked: Option<&str>) -> Result<Arc<ChatTemplate>, ChatTemplateError> {
        match (asked.filter(|asked| *asked != DEFAULT), &self.default) {
            (Some(asked), _) => {
                let source = self.named.get(asked).map_or(asked, String::as_str);
                ChatTemplate::new(source, self.special_tokens.clone()).map(Arc::new)
            }
            (None, Some(default)) => default.clone(),
            (None, None) if self.named.is_empty() => Err(ChatTemplateError::Missing),
            (None, None) => {
                let names = self.named.keys().map(String::as_str).collect::<Vec<_>>().join(", ");
                Err(ChatTemplateError::Options(format!(
                    "the model has no default chat template; set chat_template to one of {names}"
                )))
            }
        }
    }
}

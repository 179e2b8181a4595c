//! The uris a model can have. Only text: looks at neither disk nor network.

use std::{path::PathBuf, str::FromStr};

/// Where a model is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ModelUri {
    /// `file:/absolute/path` or `file:///absolute/path`.
    File(PathBuf),
    /// `hf://owner/repository[@revision][/file]`.
    HuggingFace {
        /// `owner/repository`.
        repository: String,
        /// Branch, tag or commit; `main` if none is given.
        revision: String,
        /// Path of one file in it; none takes the model's whole folder.
        file: Option<String>,
    },
}

/// What is wrong with a uri.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum UriError {
    /// A `file:` path that depends on where the process was started.
    #[error("{0}: a file: uri must be absolute here, like file:/models/chat.gguf")]
    Relative(String),
    /// Not `owner/repository`.
    #[error("{0}: write hf://owner/repository or hf://owner/repository/file.gguf")]
    Repository(String),
    /// Neither `file:` nor `hf:`.
    #[error("{0}: model uris start with file: or hf://")]
    Scheme(String),
}

impl FromStr for ModelUri {
    type Err = UriError;

    fn from_str(uri: &str) -> Result<Self, UriError> {
        if let Some(path) = uri.strip_prefix("file:") {
            let path = path.strip_prefix("//").unwrap_or(path);
            return if path.starts_with('/') {
                Ok(Self::File(path.into()))
            } else {
                Err(UriError::Relative(uri.into()))
            };
        }
        let Some(rest) = uri.strip_prefix("hf://") else { return Err(UriError::Scheme(uri.into())) };
        let mut parts = rest.splitn(3, '/');
        let owner = parts.next().unwrap_or_default();
        let name = parts.next().unwrap_or_default();
        let (name, revision) = name.split_once('@').unwrap_or((name, "main"));
        let file = parts.next().filter(|file| !file.is_empty()).map(str::to_owned);
        if ![owner, name, revision].into_iter().all(is_name) || !file.as_deref().is_none_or(is_inside) {
            return Err(UriError::Repository(uri.into()));
        }
        Ok(Self::HuggingFace { repository: format!("{owner}/{name}"), revision: revision.to_owned(), file })
    }
}

/// Whether a text is safe as the name of a file or folder.
pub fn is_name(name: &str) -> bool {
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte);
    !name.is_empty() && !name.starts_with('.') && name.bytes().all(allowed)
}

/// Whether a path of a repository stays below the folder it is put in.
pub fn is_inside(path: &str) -> bool {
    path.split('/').all(is_name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_what_people_write() {
        let file = |path: &str| Ok(ModelUri::File(path.into()));
        let hub = |repository: &str, revision: &str, file: Option<&str>| {
            let (repository, revision) = (repository.to_owned(), revision.to_owned());
            Ok(ModelUri::HuggingFace { repository, revision, file: file.map(str::to_owned) })
        };
        assert_eq!("file:/models/a".parse(), file("/models/a"));
        assert_eq!("file:///models/a".parse(), file("/models/a"));
        assert_eq!("hf://org/model-1.5".parse(), hub("org/model-1.5", "main", None));
        assert_eq!("hf://org/model/".parse(), hub("org/model", "main", None));
        assert_eq!("hf://org/model@v2/sub/a.gguf".parse(), hub("org/model", "v2", Some("sub/a.gguf")));
    }

    #[test]
    fn refuses_the_rest() {
        let refusals = [
            ("file:models/a", UriError::Relative as fn(String) -> UriError),
            ("hf://model", UriError::Repository),
            ("hf://org/../../etc", UriError::Repository),
            ("hf://org/model/../../../etc/passwd", UriError::Repository),
            ("hf://org/model@", UriError::Repository),
            ("https://example.org/model", UriError::Scheme),
            ("/models/a", UriError::Scheme),
        ];
        for (uri, error) in refusals {
            assert_eq!(uri.parse::<ModelUri>(), Err(error(uri.into())));
        }
    }
}

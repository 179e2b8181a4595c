//! Objects below a prefix of an S3 bucket.

use std::sync::Arc;

use bedplate_telemetry::chain::Chain;
use futures::{FutureExt, StreamExt, TryStreamExt};
use object_store::{
    ClientOptions, GetOptions, GetRange, ObjectMeta, ObjectStore, ObjectStoreExt, RetryConfig,
    aws::{AmazonS3, AmazonS3Builder, AmazonS3ConfigKey},
    path::Path,
};

use super::{Address, Answer, Attempt, Client, READ_TIMEOUT, RemoteError, RemoteObject};

/// One object.
#[derive(Clone, Debug)]
pub(super) struct Location {
    store: Arc<AmazonS3>,
    key: Path,
}

impl Client {
    /// The object that `uri` names, or every object below it.
    pub fn s3_objects(self: &Arc<Self>, uri: &str) -> Result<Vec<RemoteObject>, RemoteError> {
        let wrong = |reason: String| RemoteError::ParseUri { uri: uri.to_owned(), reason };
        let rest = uri.strip_prefix("s3://").unwrap_or(uri);
        let (bucket, prefix) = rest.split_once('/').unwrap_or((rest, ""));
        let prefix = Path::parse(prefix.trim_end_matches('/')).map_err(|error| wrong(error.to_string()))?;
        let store = self.store(bucket).map_err(|error| wrong(error.to_string()))?;
        let objects = self.retry(uri, || {
            let (store, prefix, uri) = (Arc::clone(&store), prefix.clone(), uri.to_owned());
            async move { list(&store, &prefix, &uri).await }.boxed()
        })?;
        Ok(objects.into_iter().map(|object| self.object(bucket, &prefix, &store, object)).collect())
    }

    fn object(
        self: &Arc<Self>,
        bucket: &str,
        prefix: &Path,
        store: &Arc<AmazonS3>,
        object: ObjectMeta,
    ) -> RemoteObject {
        let key = object.location;
        let inside = key.as_ref().strip_prefix(prefix.as_ref()).unwrap_or(key.as_ref()).trim_start_matches('/');
        let path = if inside.is_empty() { key.filename().unwrap_or_default() } else { inside };
        RemoteObject {
            path: path.to_owned(),
            size: Some(object.size),
            validator: object.e_tag,
            uri: format!("s3://{bucket}/{key}"),
            address: Address::S3(Location { store: Arc::clone(store), key }),
            client: Arc::clone(self),
        }
    }

    fn store(&self, bucket: &str) -> object_store::Result<Arc<AmazonS3>> {
        // Attempts are counted in one place, ours.
        let retry = RetryConfig { max_retries: 0, ..RetryConfig::default() };
        let options = ClientOptions::new().with_timeout_disabled().with_connect_timeout(READ_TIMEOUT);
        let mut builder = AmazonS3Builder::new().with_client_options(options).with_retry(retry);
        let mut allows_http = false;
        for (name, value) in &self.environment {
            if let Ok(key) = name.to_ascii_lowercase().parse::<AmazonS3ConfigKey>() {
                allows_http |= key == AmazonS3ConfigKey::Endpoint && value.starts_with("http://");
                builder = builder.with_config(key, value);
            }
        }
        if allows_http {
            builder = builder.with_allow_http(true);
        }
        Ok(Arc::new(builder.with_bucket_name(bucket).build()?))
    }
}

/// What S3 answers where there is no such bucket.
const NO_SUCH_BUCKET: &str = "NoSuchBucket";

async fn list(store: &AmazonS3, prefix: &Path, uri: &str) -> Attempt<Vec<ObjectMeta>> {
    let below: Vec<ObjectMeta> = match store.list(Some(prefix)).try_collect().await {
        Ok(below) => below,
        Err(error) => return list_failure(store, prefix, uri, error).await,
    };
    if !below.is_empty() || prefix.is_root() {
        // Consoles mark folders by empty objects.
        return Attempt::Success(below.into_iter().filter(|object| object.size > 0).collect());
    }
    match store.head(prefix).await {
        Ok(object) => Attempt::Success(vec![object]),
        Err(error) => failure(error, uri),
    }
}

/// object_store does not tell why a listing failed, but it tells why a look at one object does.
async fn list_failure<T>(store: &AmazonS3, prefix: &Path, uri: &str, error: object_store::Error) -> Attempt<T> {
    let uri = uri.to_owned();
    let reason = Chain(&error).to_string();
    if reason.contains(NO_SUCH_BUCKET) {
        return Attempt::Failure(RemoteError::Find { uri });
    }
    let probe = if prefix.is_root() { Path::from("probe") } else { prefix.clone() };
    match store.head(&probe).await {
        Err(object_store::Error::PermissionDenied { .. } | object_store::Error::Unauthenticated { .. }) => {
            Attempt::Failure(RemoteError::Access { uri })
        }
        _ => Attempt::Again(reason),
    }
}

impl Location {
    /// The bytes from `offset` on.
    pub(super) async fn get(&self, uri: &str, offset: u64) -> Attempt<Answer> {
        let range = (offset > 0).then_some(GetRange::Offset(offset));
        match self.store.get_opts(&self.key, GetOptions { range, ..GetOptions::default() }).await {
            Ok(result) => {
                let validator = result.meta.e_tag.clone();
                let body = result.into_stream().map_err(|error| error.to_string()).boxed();
                Attempt::Success(Answer { body, validator })
            }
            Err(error) => failure(error, uri),
        }
    }
}

fn failure<T>(error: object_store::Error, uri: &str) -> Attempt<T> {
    let uri = uri.to_owned();
    match error {
        object_store::Error::NotFound { .. } => Attempt::Failure(RemoteError::Find { uri }),
        object_store::Error::PermissionDenied { .. } | object_store::Error::Unauthenticated { .. } => {
            Attempt::Failure(RemoteError::Access { uri })
        }
        other => Attempt::Again(Chain(&other).to_string()),
    }
}

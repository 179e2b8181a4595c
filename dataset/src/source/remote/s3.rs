//! Objects below a prefix of an S3 bucket.

use std::sync::Arc;

use bedplate_crds::uri::ShownUri;
use bedplate_hub::reach::{self, Said};
use bedplate_telemetry::chain::Chain;
use futures::{FutureExt, StreamExt, TryStreamExt};
use object_store::{
    ClientConfigKey, ClientOptions, GetOptions, GetRange, ObjectMeta, ObjectStore, ObjectStoreExt, RetryConfig,
    aws::{AmazonS3, AmazonS3Builder, AmazonS3ConfigKey as Key},
    client::{HttpClient, HttpConnector},
    path::Path,
};
use reqwest::Url;

use super::{
    Address, Answer, Attempt, Client, READ_TIMEOUT, RemoteError, RemoteObject,
    guard::{self, forbidden_in},
};

/// The variable of Amazon's own tools that keeps them from asking the node for its role. Here it has to say `false`: what a
/// node may read is not what whoever writes a Dataset may read.
const METADATA_DISABLED: &str = "AWS_EC2_METADATA_DISABLED";

/// One object.
#[derive(Clone, Debug)]
pub(super) struct Location {
    store: Arc<AmazonS3>,
    key: Path,
}

impl Client {
    /// The object that `uri` names, or every object below it.
    pub fn s3_objects(self: &Arc<Self>, uri: &str) -> Result<Vec<RemoteObject>, RemoteError> {
        let shown = ShownUri::new(uri);
        let wrong = |reason: String| RemoteError::ParseUri { uri: shown.clone(), reason };
        let rest = uri.strip_prefix("s3://").unwrap_or(uri);
        let (bucket, prefix) = rest.split_once('/').unwrap_or((rest, ""));
        let prefix = Path::parse(prefix.trim_end_matches('/')).map_err(|error| wrong(error.to_string()))?;
        let store = self.store(bucket).map_err(&wrong)?;
        let objects = self.retry(&shown, || {
            let (store, prefix, uri) = (Arc::clone(&store), prefix.clone(), shown.clone());
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
        let identity = format!("s3://{bucket}/{key}");
        RemoteObject {
            path: path.to_owned(),
            size: Some(object.size),
            validator: object.e_tag,
            uri: ShownUri::new(&identity),
            identity,
            address: Address::S3(Location { store: Arc::clone(store), key }),
            client: Arc::clone(self),
        }
    }

    fn store(&self, bucket: &str) -> Result<Arc<AmazonS3>, String> {
        let told = |error: object_store::Error| Chain(&error).to_string();
        let builder = self.settings(bucket);
        let endpoint = [Key::S3Endpoint, Key::Endpoint].iter().find_map(|key| builder.get_config_value(key));
        let endpoint = endpoint.map(|endpoint| checked(&endpoint)).transpose()?;
        let is_plain = endpoint.is_some_and(|endpoint| endpoint.scheme() == "http");
        let accepts_any = builder.get_config_value(&Key::Client(ClientConfigKey::AllowInvalidCertificates));
        let http = guard::builder(Said::ByUri)
            .https_only(!is_plain)
            .danger_accept_invalid_certs(accepts_any.is_some_and(|value| value == "true"))
            .build()
            .map_err(guard::describe)?;
        let builder = match self.credentials(&builder) {
            Credentials::Keys => builder,
            Credentials::None => builder.with_skip_signature(true),
            // Their services have link-local addresses, so they are asked by a client of their own.
            Credentials::OfPod | Credentials::OfNode => {
                let asked = builder.clone().build().map_err(told)?;
                builder.with_credentials(Arc::clone(asked.credentials()))
            }
        };
        let store = builder.with_allow_http(is_plain).with_http_connector(Connector(http)).build();
        Ok(Arc::new(store.map_err(told)?))
    }

    fn settings(&self, bucket: &str) -> AmazonS3Builder {
        // Attempts are counted in one place, ours.
        let retry = RetryConfig { max_retries: 0, ..RetryConfig::default() };
        let options = ClientOptions::new().with_timeout_disabled().with_connect_timeout(READ_TIMEOUT);
        let builder = AmazonS3Builder::new().with_client_options(options).with_retry(retry).with_bucket_name(bucket);
        let keys = self.environment.iter().filter_map(|(name, value)| {
            let key = name.to_ascii_lowercase().parse::<Key>().ok().filter(|key| *key != Key::Bucket)?;
            Some((key, value)).filter(|(_, value)| !value.is_empty())
        });
        keys.fold(builder, |builder, (key, value)| builder.with_config(key, value))
    }

    /// Whose rights the requests are made with.
    fn credentials(&self, settings: &AmazonS3Builder) -> Credentials {
        let has = |key: &Key| settings.get_config_value(key).is_some();
        let has_all = |keys: [Key; 2]| keys.iter().all(has);
        let asks_node =
            |(name, value): &(String, String)| name == METADATA_DISABLED && value.trim().eq_ignore_ascii_case("false");
        if has(&Key::AccessKeyId) || has(&Key::SecretAccessKey) {
            Credentials::Keys
        } else if has_all([Key::WebIdentityTokenFile, Key::RoleArn])
            || has(&Key::ContainerCredentialsRelativeUri)
            || has_all([Key::ContainerCredentialsFullUri, Key::ContainerAuthorizationTokenFile])
        {
            Credentials::OfPod
        } else if self.environment.iter().any(asks_node) {
            Credentials::OfNode
        } else {
            Credentials::None
        }
    }
}

/// Where the rights to a bucket come from.
#[derive(Debug, PartialEq, Eq)]
enum Credentials {
    /// Keys in the environment.
    Keys,
    /// The role of the pod: a projected token, or the container credentials of ECS and EKS.
    OfPod,
    /// The role of the node, because somebody asked for it.
    OfNode,
    /// Nowhere: requests are not signed, which public buckets take.
    None,
}

/// An endpoint that requests may go to.
fn checked(endpoint: &str) -> Result<Url, String> {
    let url = Url::parse(endpoint).map_err(|error| format!("AWS_ENDPOINT_URL is no address: {error}"))?;
    reach::check_host(url.host_str().unwrap_or_default(), Said::ByUri).map_err(|why| why.to_string())?;
    Ok(url)
}

/// Hands the guarded client to the store.
#[derive(Debug)]
struct Connector(reqwest::Client);

impl HttpConnector for Connector {
    fn connect(&self, _: &ClientOptions) -> object_store::Result<HttpClient> {
        Ok(HttpClient::new(self.0.clone()))
    }
}

/// What S3 answers where there is no such bucket.
const NO_SUCH_BUCKET: &str = "NoSuchBucket";

async fn list(store: &AmazonS3, prefix: &Path, uri: &ShownUri) -> Attempt<Vec<ObjectMeta>> {
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
async fn list_failure<T>(store: &AmazonS3, prefix: &Path, uri: &ShownUri, error: object_store::Error) -> Attempt<T> {
    let uri = uri.clone();
    if let Some(why) = forbidden_in(&error) {
        return Attempt::Failure(RemoteError::Answer { uri, reason: why.to_string() });
    }
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
    pub(super) async fn get(&self, uri: &ShownUri, offset: u64) -> Attempt<Answer> {
        let range = (offset > 0).then_some(GetRange::Offset(offset));
        match self.store.get_opts(&self.key, GetOptions { range, ..GetOptions::default() }).await {
            Ok(result) => {
                let validator = result.meta.e_tag.clone();
                let body = result.into_stream().map_err(|error| error.to_string()).boxed();
                Attempt::Success(Answer { body, validator, total: None })
            }
            Err(error) => failure(error, uri),
        }
    }
}

fn failure<T>(error: object_store::Error, uri: &ShownUri) -> Attempt<T> {
    let uri = uri.clone();
    if let Some(why) = forbidden_in(&error) {
        return Attempt::Failure(RemoteError::Answer { uri, reason: why.to_string() });
    }
    match error {
        object_store::Error::NotFound { .. } => Attempt::Failure(RemoteError::Find { uri }),
        object_store::Error::PermissionDenied { .. } | object_store::Error::Unauthenticated { .. } => {
            Attempt::Failure(RemoteError::Access { uri })
        }
        other => Attempt::Again(Chain(&other).to_string()),
    }
}

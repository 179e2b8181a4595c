//! One kube-apiserver and one etcd for the whole test binary, and the CRDs in it.

use std::{
    fs,
    net::TcpListener,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::{Arc, Weak},
};

use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::{CustomResourceDefinition, JSONSchemaProps};
use kube::{
    Api, Client, Config,
    api::{Patch, PatchParams, ResourceExt},
    client::ClientBuilder,
    config::{KubeConfigOptions, Kubeconfig},
};
use tokio::sync::Mutex;

use super::{Wire, eventually};

/// The kinds of the product.
const CRDS: [&str; 3] = ["datasets", "trainingjobs", "modeldeployments"];
/// Says that a run without the binaries is a failure.
const REQUIRE_KUBE: &str = "REQUIRE_KUBE";

static SERVER: Mutex<Weak<Server>> = Mutex::const_new(Weak::new());

/// The two processes.
pub struct Server {
    etcd: Child,
    apiserver: Child,
    folder: tempfile::TempDir,
}

impl Drop for Server {
    fn drop(&mut self) {
        // An API server without its store never ends by itself, and nothing of it is kept.
        for process in [&mut self.apiserver, &mut self.etcd] {
            process.kill().unwrap();
            process.wait().unwrap();
        }
    }
}

impl Server {
    /// The running one, or a new one; none where its binaries were not built.
    pub async fn shared() -> Option<Arc<Self>> {
        let mut known = SERVER.lock().await;
        if let Some(server) = known.upgrade() {
            return Some(server);
        }
        let server = Self::fresh(false).await?;
        *known = Arc::downgrade(&server);
        Some(server)
    }

    /// One of its own; where it is loose, its CRDs take any spec, as those of another release might.
    pub async fn fresh(is_loose: bool) -> Option<Arc<Self>> {
        let Some(binaries) = binaries() else {
            let remedy = "build them with e2e/tools/build.sh api";
            assert!(std::env::var_os(REQUIRE_KUBE).is_none(), "there is no kube-apiserver: {remedy}");
            eprintln!("SKIPPED, for there is no kube-apiserver: {remedy}; {REQUIRE_KUBE}=1 makes this a failure");
            return None;
        };
        let server = Arc::new(Self::start(&binaries));
        server.install(is_loose).await;
        Some(server)
    }

    fn start(binaries: &Path) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path();
        let [store, peer, api] = [(); 3].map(|()| free_port());
        let etcd = process(
            binaries,
            "etcd",
            path,
            &[
                format!("--name=api --data-dir={}/etcd --unsafe-no-fsync --log-level=error", path.display()),
                format!(
                    "--listen-client-urls=http://127.0.0.1:{store} --advertise-client-urls=http://127.0.0.1:{store}"
                ),
                format!(
                    "--listen-peer-urls=http://127.0.0.1:{peer} --initial-advertise-peer-urls=http://127.0.0.1:{peer}"
                ),
                format!("--initial-cluster=api=http://127.0.0.1:{peer}"),
            ],
        );
        fs::write(path.join("tokens"), "it,admin,admin,system:masters\n").unwrap();
        let key = Command::new("openssl").args(["genrsa", "2048"]).stderr(Stdio::null()).output().unwrap();
        fs::write(path.join("sa.key"), key.stdout).unwrap();
        let here = path.display();
        let apiserver = process(
            binaries,
            "kube-apiserver",
            path,
            &[
                format!("--etcd-servers=http://127.0.0.1:{store} --bind-address=127.0.0.1 --secure-port={api}"),
                format!("--cert-dir={here}/certs --token-auth-file={here}/tokens --authorization-mode=RBAC"),
                format!(
                    "--service-account-issuer=https://kubernetes.default.svc --service-account-key-file={here}/sa.key"
                ),
                format!("--service-account-signing-key-file={here}/sa.key --disable-admission-plugins=ServiceAccount"),
            ],
        );
        let kubeconfig = format!(
            "{{apiVersion: v1, kind: Config, current-context: it, contexts: [{{name: it, context: {{cluster: it, user: it}}}}], \
             users: [{{name: it, user: {{token: it}}}}], clusters: [{{name: it, cluster: \
             {{server: 'https://127.0.0.1:{api}', insecure-skip-tls-verify: true}}}}]}}"
        );
        fs::write(path.join("kubeconfig"), kubeconfig).unwrap();
        Self { etcd, apiserver, folder }
    }

    /// For a process of its own.
    pub fn kubeconfig(&self) -> PathBuf {
        self.folder.path().join("kubeconfig")
    }

    /// A client, through a wire that can be cut.
    pub async fn client(&self, wire: Option<&Wire>) -> Client {
        let kubeconfig = Kubeconfig::read_from(self.kubeconfig()).unwrap();
        let mut config = Config::from_custom_kubeconfig(kubeconfig, &KubeConfigOptions::default()).await.unwrap();
        // A cut wire is to be seen, not mended.
        config.default_retry = wire.is_none();
        let builder = ClientBuilder::try_from(config).unwrap();
        match wire {
            Some(wire) => builder.with_layer(wire).build(),
            None => builder.build(),
        }
    }

    /// Waits until it answers and knows the kinds.
    async fn install(&self, is_loose: bool) {
        let crds = Api::<CustomResourceDefinition>::all(self.client(None).await);
        for plural in CRDS {
            let path = format!("{}/../crds/yaml/{plural}.bedplate.dev.yaml", env!("CARGO_MANIFEST_DIR"));
            let mut crd: CustomResourceDefinition = serde_saphyr::from_str(&fs::read_to_string(path).unwrap()).unwrap();
            if is_loose {
                loosen(&mut crd);
            }
            let parameters = PatchParams::apply("it").force();
            let applied = async || {
                let applied = crds.patch(&crd.name_any(), &parameters, &Patch::Apply(&crd)).await;
                let conditions =
                    applied.map_err(|error| error.to_string())?.status.and_then(|status| status.conditions);
                let is_served = conditions.iter().flatten().any(|of| of.type_ == "Established" && of.status == "True");
                if is_served { Ok(()) } else { Err("it is not established".to_owned()) }
            };
            eventually(&format!("the API server serves {plural}"), applied).await;
        }
    }
}

fn loosen(crd: &mut CustomResourceDefinition) {
    for version in &mut crd.spec.versions {
        let schema = version.schema.as_mut().and_then(|schema| schema.open_api_v3_schema.as_mut()).unwrap();
        let anything = JSONSchemaProps {
            type_: Some("object".to_owned()),
            x_kubernetes_preserve_unknown_fields: Some(true),
            ..JSONSchemaProps::default()
        };
        let fields = ["spec", "status"].map(|field| (field.to_owned(), anything.clone()));
        (schema.properties, schema.x_kubernetes_validations, schema.required) = (Some(fields.into()), None, None);
    }
}

fn process(binaries: &Path, name: &str, folder: &Path, arguments: &[String]) -> Child {
    let log = fs::File::create(folder.join(format!("{name}.log"))).unwrap();
    let arguments = arguments.iter().flat_map(|line| line.split(' '));
    let mut command = Command::new(binaries.join(name));
    command.args(arguments).stdin(Stdio::null()).stdout(log.try_clone().unwrap()).stderr(log).spawn().unwrap()
}

pub fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

/// The newest build of `e2e/tools`.
fn binaries() -> Option<PathBuf> {
    let home = std::env::var_os("HOME").map(|home| Path::new(&home).join(".cache/bedplate"));
    let cache = std::env::var_os("BEDPLATE_CACHE").map(PathBuf::from).or(home)?;
    let builds = fs::read_dir(cache.join("k8s")).ok()?.flatten().map(|entry| entry.path().join("bin"));
    let whole = builds.filter(|bin| bin.join("kube-apiserver").exists() && bin.join("etcd").exists());
    whole.max_by_key(|bin| fs::metadata(bin).and_then(|metadata| metadata.modified()).ok())
}

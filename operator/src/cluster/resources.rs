//! Requests and limits of a container, and what its process is told of them.
//!
//! Owns the merge of a resource's quantities over the installation's defaults. Never refuses a quantity: `validate` did.

use std::collections::BTreeMap;

use bedplate_crds::quantity::amount;
use k8s_openapi::{api::core::v1::ResourceRequirements, apimachinery::pkg::api::resource::Quantity};

use super::settings::PodResources;

/// Share of a server's memory limit that its KV cache takes: the rest is for the weights, which are mapped, and the requests
/// under way. A cache that is too small is refused by the server with the numbers.
const KV_CACHE_SHARE: f64 = 0.4;

/// What a container asks for and may use.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Resources {
    requests: BTreeMap<String, String>,
    limits: BTreeMap<String, String>,
}

impl Resources {
    /// The defaults, and over them the resource's own quantities, each as request and limit: extended resources such as
    /// `nvidia.com/gpu` must have the same of both, and a pod whose requests are its limits is evicted last.
    pub fn new(defaults: &PodResources, own: &BTreeMap<String, String>) -> Self {
        let over = |defaults: &BTreeMap<String, String>| {
            let mut merged = defaults.clone();
            merged.extend(own.iter().map(|(name, quantity)| (name.clone(), quantity.clone())));
            merged
        };
        Self { requests: over(&defaults.requests), limits: over(&defaults.limits) }
    }

    /// As a container has them.
    pub fn requirements(&self) -> ResourceRequirements {
        let quantities = |of: &BTreeMap<String, String>| {
            let map: BTreeMap<_, _> = of.iter().map(|(name, text)| (name.clone(), Quantity(text.clone()))).collect();
            (!map.is_empty()).then_some(map)
        };
        ResourceRequirements {
            requests: quantities(&self.requests),
            limits: quantities(&self.limits),
            ..ResourceRequirements::default()
        }
    }

    /// Threads for a process under this limit; 0, every core, where there is none.
    pub fn threads(&self) -> usize {
        let cores = self.limits.get("cpu").and_then(|quantity| amount(quantity)).unwrap_or_default();
        whole(cores.ceil()).try_into().unwrap_or(usize::MAX)
    }

    /// Bytes a process may plan for; 0, what the machine has, where there is no limit.
    pub fn memory_limit_bytes(&self) -> u64 {
        whole(self.limits.get("memory").and_then(|quantity| amount(quantity)).unwrap_or_default())
    }

    /// Bytes of a server's KV cache; 0, a share of what the machine has, where there is no limit.
    pub fn kv_cache_bytes(&self) -> u64 {
        whole(self.memory_limit_bytes() as f64 * KV_CACHE_SHARE)
    }
}

#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "the cast saturates at both ends")]
fn whole(amount: f64) -> u64 {
    amount as u64
}

#[cfg(test)]
mod tests {
    use super::*;

    fn limits(of: &[(&str, &str)]) -> Resources {
        let own = of.iter().map(|(name, quantity)| ((*name).to_owned(), (*quantity).to_owned())).collect();
        Resources::new(&PodResources::default(), &own)
    }

    #[test]
    fn every_notation_of_a_quantity_is_read() {
        for (text, bytes) in [("1Gi", 1 << 30), ("1.5Mi", 3 << 19), ("2G", 2_000_000_000), ("12e3", 12_000), ("7", 7)] {
            assert_eq!(limits(&[("memory", text)]).memory_limit_bytes(), bytes, "{text}");
        }
        assert_eq!(limits(&[("memory", "-")]).memory_limit_bytes(), 0);
    }

    #[test]
    fn a_part_of_a_core_still_gets_a_thread_and_no_limit_takes_every_core() {
        assert_eq!(
            [limits(&[("cpu", "500m")]), limits(&[("cpu", "2")]), limits(&[])].map(|of| of.threads()),
            [1, 2, 0]
        );
    }

    #[test]
    fn extended_resources_have_their_limit_as_request() {
        let requirements = limits(&[("nvidia.com/gpu", "2")]).requirements();
        assert_eq!(requirements.requests, requirements.limits);
    }
}

//! Which devices there are, and which of them the control file calls unhealthy. Owns their names; serves nothing.

use std::{fs, path::PathBuf};

use crate::service::api::Device;

/// What kubelet calls a device that pods may have.
const HEALTHY: &str = "Healthy";
/// What it calls one that no new pod may have.
const UNHEALTHY: &str = "Unhealthy";

/// The devices of the node.
#[derive(Clone, Debug)]
pub struct Devices {
    count: usize,
    control: PathBuf,
}

impl Devices {
    /// So many devices, ruled by a control file.
    pub const fn new(count: usize, control: PathBuf) -> Self {
        Self { count, control }
    }

    /// The devices as they are now.
    pub fn list(&self) -> Vec<Device> {
        let text = fs::read_to_string(&self.control).unwrap_or_default();
        let unhealthy: Vec<usize> = text.split_whitespace().filter_map(|word| word.parse().ok()).collect();
        let health = |number| if unhealthy.contains(&number) { UNHEALTHY } else { HEALTHY };
        (0..self.count)
            .map(|number| Device { id: format!("fake-gpu-{number}"), health: health(number).to_owned() })
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn healthy(control: &str) -> Vec<usize> {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("unhealthy");
        fs::write(&file, control).unwrap();
        let listed = Devices::new(4, file).list();
        listed.iter().enumerate().filter(|(_, device)| device.health == HEALTHY).map(|(number, _)| number).collect()
    }

    #[test]
    fn the_control_file_names_the_unhealthy_devices() {
        assert_eq!(healthy(""), [0, 1, 2, 3]);
        assert_eq!(healthy("1 3\n"), [0, 2]);
        assert_eq!(healthy("9 x"), [0, 1, 2, 3]);
    }

    #[test]
    fn without_a_control_file_all_devices_are_healthy() {
        let listed = Devices::new(2, PathBuf::from("/nonexistent/unhealthy")).list();
        assert!(listed.iter().all(|device| device.health == HEALTHY));
        assert_eq!(listed[1].id, "fake-gpu-1");
    }
}

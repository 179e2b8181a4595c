//! Builds GGUF bytes for tests.

/// A writer of one GGUF file: metadata entries and tensors in the order they are added.
#[derive(Default)]
pub(crate) struct Builder {
    pub(crate) metadata: Vec<(String, u32, Vec<u8>)>,
    pub(crate) tensors: Vec<(String, Vec<u64>, u32, Vec<u8>)>,
}

pub(crate) fn string(text: &str) -> Vec<u8> {
    [&(text.len() as u64).to_le_bytes()[..], text.as_bytes()].concat()
}

impl Builder {
    pub(crate) fn u32(mut self, key: &str, value: u32) -> Self {
        self.metadata.push((key.into(), 4, value.to_le_bytes().to_vec()));
        self
    }

    pub(crate) fn f32(mut self, key: &str, value: f32) -> Self {
        self.metadata.push((key.into(), 6, value.to_le_bytes().to_vec()));
        self
    }

    pub(crate) fn str(mut self, key: &str, value: &str) -> Self {
        self.metadata.push((key.into(), 8, string(value)));
        self
    }

    pub(crate) fn strings(mut self, key: &str, values: &[&str]) -> Self {
        let mut bytes = 8u32.to_le_bytes().to_vec();
        bytes.extend((values.len() as u64).to_le_bytes());
        values.iter().for_each(|value| bytes.extend(string(value)));
        self.metadata.push((key.into(), 9, bytes));
        self
    }

    pub(crate) fn tensor(mut self, name: &str, dimensions: &[u64], kind: u32, data: Vec<u8>) -> Self {
        self.tensors.push((name.into(), dimensions.to_vec(), kind, data));
        self
    }

    pub(crate) fn build(&self) -> Vec<u8> {
        let mut out = b"GGUF".to_vec();
        out.extend(3u32.to_le_bytes());
        out.extend((self.tensors.len() as u64).to_le_bytes());
        out.extend((self.metadata.len() as u64).to_le_bytes());
        for (key, kind, value) in &self.metadata {
            out.extend(string(key));
            out.extend(kind.to_le_bytes());
            out.extend(value);
        }
        let mut data: Vec<u8> = Vec::new();
        for (name, dimensions, kind, bytes) in &self.tensors {
            data.resize(data.len().next_multiple_of(32), 0);
            out.extend(string(name));
            out.extend((dimensions.len() as u32).to_le_bytes());
            dimensions.iter().for_each(|dimension| out.extend(dimension.to_le_bytes()));
            out.extend(kind.to_le_bytes());
            out.extend((data.len() as u64).to_le_bytes());
            data.extend(bytes);
        }
        out.resize(out.len().next_multiple_of(32), 0);
        out.extend(data);
        out
    }
}

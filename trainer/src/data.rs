//! Which sequence is seen when: a pure function of the job's seed and the number of the sample.
//!
//! Owns the Datasets and the order. Keeps no position: a step names the samples it wants, so that resuming, or resuming
//! with another number of ranks, neither skips nor repeats one.

mod batch;
mod dataset;
mod mixture;
mod permutation;

use std::path::PathBuf;

pub use batch::{BatchError, BatchFiller, SequenceRef};
pub use dataset::{Dataset, DatasetError, Sequences};
pub use mixture::Mixture;
pub use permutation::Permutation;

use bedplate_crds::training_job::DataSource;

/// Why the Datasets cannot be trained on together.
#[derive(Debug, thiserror::Error)]
pub enum DataError {
    /// The job file names as many folders as the spec names Datasets, or it is wrong.
    #[error("datasetDirs names {dirs} folders for the {sources} Datasets of spec.data; name one folder for each")]
    CountDirs {
        /// Folders in the job file.
        dirs: usize,
        /// Datasets in the spec.
        sources: usize,
    },
    /// A weight that is no share.
    #[error("spec.data[{index}].weight is {weight}; write a number above 0")]
    Weight {
        /// Place in `spec.data`.
        index: usize,
        /// The weight.
        weight: f64,
    },
    /// A Dataset cannot be used.
    #[error("spec.data[{index}].dataset {name} cannot be used")]
    Open {
        /// Place in `spec.data`.
        index: usize,
        /// Name of the Dataset.
        name: String,
        /// Why.
        #[source]
        source: DatasetError,
    },
    /// Two Datasets that do not go together.
    #[error(transparent)]
    Disagree(#[from] Box<Disagreement>),
}

/// Two Datasets that do not go together.
#[derive(Debug, thiserror::Error)]
#[error("spec.data[{index}].dataset {name} has {field} {found} where {first} has {expected}; {remedy}")]
pub struct Disagreement {
    /// Place in `spec.data`.
    pub index: usize,
    /// Name of the Dataset.
    pub name: String,
    /// Name of the first Dataset.
    pub first: String,
    /// What differs, as a field of the manifest.
    pub field: &'static str,
    /// Its value here.
    pub found: String,
    /// Its value in the first Dataset.
    pub expected: String,
    /// What to change.
    pub remedy: &'static str,
}

/// The Datasets of a job and the order of their sequences.
#[derive(Debug)]
pub struct TrainingData {
    datasets: Vec<Dataset>,
    mixture: Mixture,
    seed: u64,
}

impl TrainingData {
    /// Opens every Dataset, checks each file against its hashes, and checks that they go together.
    pub fn open(sources: &[DataSource], dirs: &[PathBuf], seed: u64) -> Result<Self, DataError> {
        if sources.len() != dirs.len() || sources.is_empty() {
            return Err(DataError::CountDirs { dirs: dirs.len(), sources: sources.len() });
        }
        let mut datasets: Vec<Dataset> = Vec::with_capacity(sources.len());
        for (index, (source, dir)) in sources.iter().zip(dirs).enumerate() {
            if !(source.weight.is_finite() && source.weight > 0.0) {
                return Err(DataError::Weight { index, weight: source.weight });
            }
            let name = source.dataset.clone();
            let dataset =
                Dataset::open(&name, dir).map_err(|source| DataError::Open { index, name: name.clone(), source })?;
            if let Some(first) = datasets.first() {
                check_agreement(index, &dataset, first)?;
            }
            datasets.push(dataset);
        }
        let mixture = Mixture::new(&sources.iter().map(|source| source.weight).collect::<Vec<_>>());
        Ok(Self { datasets, mixture, seed })
    }

    /// The Datasets, in the order of the spec.
    pub fn datasets(&self) -> &[Dataset] {
        &self.datasets
    }

    /// The Dataset whose tokenizer, vocabulary and sequence length are those of all of them.
    pub fn first(&self) -> &Dataset {
        &self.datasets[0]
    }

    /// The sequence that is the `sample`-th of the whole job, counted from 0 over all ranks.
    ///
    /// The mixture names the Dataset and how many of its sequences came before; each pass over a Dataset is a fresh
    /// permutation, keyed by the job's seed, the Dataset's place and the number of the pass.
    pub fn at(&self, sample: u64) -> SequenceRef<'_> {
        let (place, position) = self.mixture.at(sample);
        let sequences = self.datasets[place].train();
        let (epoch, index) = (position / sequences.len(), position % sequences.len());
        let index = Permutation::new(sequences.len(), self.key(place, epoch)).at(index);
        SequenceRef { sequences, index }
    }

    fn key(&self, place: usize, epoch: u64) -> u64 {
        let mut hasher = blake3::Hasher::new();
        for number in [self.seed, place as u64, epoch] {
            hasher.update(&number.to_le_bytes());
        }
        let digest = hasher.finalize();
        u64::from_le_bytes(digest.as_bytes()[..8].try_into().expect("a digest has 32 bytes"))
    }

    /// At most `limit` hold-out sequences, spread evenly over all Datasets' hold-outs in the order of the spec.
    pub fn holdout(&self, limit: u64) -> Vec<SequenceRef<'_>> {
        let total: u64 = self.datasets.iter().map(|dataset| dataset.holdout().len()).sum();
        let count = total.min(limit);
        (0..count)
            .map(|number| self.holdout_at((u128::from(number) * u128::from(total) / u128::from(count)) as u64))
            .collect()
    }

    fn holdout_at(&self, mut index: u64) -> SequenceRef<'_> {
        for dataset in &self.datasets {
            let sequences = dataset.holdout();
            if index < sequences.len() {
                return SequenceRef { sequences, index };
            }
            index -= sequences.len();
        }
        unreachable!("the index is below the number of hold-out sequences")
    }
}

fn check_agreement(index: usize, dataset: &Dataset, first: &Dataset) -> Result<(), Box<Disagreement>> {
    let (here, there) = (dataset.manifest(), first.manifest());
    let disagree = |field, found: String, expected: String, remedy| {
        let (name, first) = (dataset.name().to_owned(), first.name().to_owned());
        Err(Box::new(Disagreement { index, name, first, field, found, expected, remedy }))
    };
    if here.tokenizer_sha256 != there.tokenizer_sha256 {
        let remedy = "give one Dataset the tokenizer of the other with tokenizer.type load";
        return disagree("tokenizerSha256", here.tokenizer_sha256.clone(), there.tokenizer_sha256.clone(), remedy);
    }
    if here.sequence_length != there.sequence_length {
        let remedy = "give both Datasets one packing.sequenceLength";
        return disagree("sequenceLength", here.sequence_length.to_string(), there.sequence_length.to_string(), remedy);
    }
    Ok(())
}

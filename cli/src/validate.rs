//! `bedplate validate`: the pure stages, and nothing else.
//!
//! Owns what is printed. Never looks at the machine: a manifest is as valid here as anywhere.

use bedplate_operator::resource::AnyResource;

use crate::{
    args::ValidateArgs,
    manifests::{self, Loaded},
    plan::{self, Plan},
    run::{RunError, places},
    state::{StateDir, records::Records},
};

/// Prints what would be done, in order.
///
/// # Errors
/// Everything that would be refused, at once.
pub fn validate(args: &ValidateArgs) -> Result<(), RunError> {
    let ValidateArgs { files, state } = args;
    let Loaded { located, notes } = manifests::load(files)?;
    for note in notes {
        eprintln!("note: {note}");
    }
    let state = StateDir::at(&state.state_dir)?;
    let finished: Vec<AnyResource> = Records::read(&state)?.finished();
    let Plan { tasks, notices } = plan::plan(&located, &finished, &places(".".as_ref(), &state, 0)?)?;
    for task in &tasks {
        println!("{}: {} is valid", task.place, task.key);
    }
    for notice in notices {
        println!("note: {notice}");
    }
    Ok(())
}

//! `test [FILE…]`: runs pipelines on their fixtures, without the network, and compares what comes out.

use std::path::{Path, PathBuf};

use app::fixture::{find_test_files, test_file};

use crate::failure::Failure;
use crate::output;
use crate::settings::Settings;

/// What to test.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Test files, or folders of `*.test.yml` [default: the folder of the pipelines file]
    #[arg(value_name = "FILE")]
    files: Vec<PathBuf>,
}

pub(crate) async fn run(args: &Args, settings: &Settings) -> Result<(), Failure> {
    let setup = &settings.setup;
    let beside = || match settings.config.parent() {
        Some(folder) if folder != Path::new("") => folder.to_owned(),
        _ => PathBuf::from("."),
    };
    let named = if args.files.is_empty() { vec![beside()] } else { args.files.clone() };
    let load = |path: &Path, variables: &std::collections::BTreeMap<String, String>| {
        let file = app::load_with(path, setup, settings.timezone, variables)?;
        Ok((file, setup.redactor.clone()))
    };
    let (mut passed, mut failed) = (0u32, 0u32);
    for path in find_test_files(&named).map_err(Failure::Usage)? {
        for case in test_file(&path, &setup.registry, &load).await.map_err(Failure::Usage)? {
            if case.differences.is_empty() {
                passed += 1;
                output::line(format!("ok    {}: {}", path.display(), case.name))?;
                continue;
            }
            failed += 1;
            output::line(format!("FAIL  {}: {}", path.display(), case.name))?;
            for difference in case.differences {
                output::line(format!("      {}", difference.replace('\n', "\n      ")))?;
            }
        }
    }
    output::line(format!("{passed} passed, {failed} failed"))?;
    if failed == 0 { Ok(()) } else { Err(Failure::Silent(1)) }
}

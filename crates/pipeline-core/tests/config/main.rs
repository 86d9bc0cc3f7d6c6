//! Reading and checking of `pipelines.yml`.

mod bad_files;
mod good_files;
mod hostile;
mod schema;
mod secrets;
mod support;

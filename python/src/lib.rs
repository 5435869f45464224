//! The Python face of the crate `jobhook`.
//!
//! No rules live here: Python values become Rust ones, the interpreter is let go while something
//! is waited for, and errors become the exceptions of `jobhook/errors.py`. Threads of Rust never
//! call into Python.
//!
//! Read in this order: [`json`] and [`errors`] turn values, [`waiting`] waits, [`transfer`] waits
//! while bytes move, the others each hold one class or group of functions of
//! `jobhook/_jobhook.pyi`.

mod errors;
mod fake_hook;
mod files;
mod job;
mod json;
mod launcher;
mod primitives;
mod protocol;
mod steps;
mod transfer;
mod waiting;

#[pyo3::pymodule(gil_used = false)]
mod _jobhook {
    use pyo3::prelude::*;

    #[pymodule_export]
    use super::fake_hook::NativeHook;
    #[pymodule_export]
    use super::files::NativeFiles;
    #[pymodule_export]
    use super::job::{NativeJob, Receipt};
    #[pymodule_export]
    use super::launcher::{LaunchFile, NativeFollower, NativeLauncher, file_names};
    #[pymodule_export]
    use super::primitives::{check_job, download_from, job_headers, send_status, upload_to};
    #[pymodule_export]
    use super::protocol::{
        attempt_key, read_environment, sign_v1, sign_webda, status_after, verify,
    };
    #[pymodule_export]
    use super::steps::Steps;
    #[pymodule_export]
    use super::waiting::Stop;

    #[pymodule_init]
    fn init(module: &Bound<'_, PyModule>) -> PyResult<()> {
        module.add("__version__", env!("CARGO_PKG_VERSION"))
    }
}

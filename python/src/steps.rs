//! The iterator behind `job.progress`: items pass through and are counted.

use std::sync::atomic::{AtomicBool, Ordering};

use jobhook::Meter;
use pyo3::prelude::*;
use pyo3::types::PyIterator;

use crate::errors::exception;
use crate::job::NativeJob;

/// Counts the items that pass through. An item counts once the next one is asked for.
#[pyclass(frozen, module = "jobhook._jobhook")]
pub(crate) struct Steps {
    // Before the job, which outlives it.
    meter: Meter,
    iterator: Py<PyIterator>,
    job: Py<NativeJob>,
    /// Whether an item is out, which the next call says is done.
    is_out: AtomicBool,
}

impl Steps {
    pub(crate) fn new(
        job: Bound<'_, NativeJob>,
        iterable: &Bound<'_, PyAny>,
        total: Option<u64>,
        message: Option<String>,
    ) -> PyResult<Steps> {
        job.get().check(job.py())?;
        let iterator = iterable.try_iter()?.unbind();
        let meter = job.get().inner().meter(total, message);
        Ok(Steps {
            meter: meter.map_err(|error| exception(job.py(), &error))?,
            iterator,
            job: job.unbind(),
            is_out: AtomicBool::new(false),
        })
    }
}

#[pymethods]
impl Steps {
    /// Everything that passed through is done.
    fn finish(&self, py: Python<'_>) -> PyResult<()> {
        if self.is_out.swap(false, Ordering::Relaxed) {
            self.meter.add(1);
        }
        self.meter.finish().map_err(|error| exception(py, &error))
    }

    fn __iter__(slf: Py<Self>) -> Py<Self> {
        slf
    }

    fn __next__<'py>(&self, py: Python<'py>) -> PyResult<Option<Bound<'py, PyAny>>> {
        if self.is_out.load(Ordering::Relaxed) {
            self.meter.add(1);
        }
        let job = self.job.get();
        if job.is_cancelled() {
            self.is_out.store(false, Ordering::Relaxed);
            // The cancellation is what matters now.
            let _ = self.meter.finish();
            return Err(job.cancelled(py));
        }
        match self.iterator.bind(py).clone().next() {
            Some(item) => {
                self.is_out.store(item.is_ok(), Ordering::Relaxed);
                item.map(Some)
            }
            None => {
                self.is_out.store(false, Ordering::Relaxed);
                self.finish(py)?;
                Ok(None)
            }
        }
    }

    /// How many items are done.
    #[getter]
    fn done(&self) -> u64 {
        self.meter.done()
    }
}

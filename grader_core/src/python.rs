//! The Python module `pinetune._core`: a small door to `exchange`. Bytes and counts cross it, never single grades, and
//! the interpreter's lock is released while Rust works. `services/pinetune/_core.pyi` says the same in Python's words.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use pyo3::create_exception;
use pyo3::exceptions::{PyException, PyRuntimeError};
use pyo3::prelude::*;
use pyo3::pybacked::{PyBackedBytes, PyBackedStr};
use pyo3::types::{PyBytes, PyList};

use crate::error::GraderError as CoreError;
use crate::exchange::{self, Counts, PartAnswers};
use crate::grade::ErrorClass;
use crate::lanes::Instructions;
use crate::lockdown::{self, LockdownFault};
use crate::request::GradeRequest;
use crate::spec::GRADER_VERSION;

/// For Rust's own memory; Python keeps its own.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

create_exception!(
    _core,
    GraderError,
    PyException,
    "A grader or a request is refused: `reason` is a stable word, `field` the path of the fault, `detail` a sentence."
);

impl From<CoreError> for PyErr {
    fn from(error: CoreError) -> Self {
        let raised = GraderError::new_err(error.to_string());
        let detail = error.to_string().split_off(error.field().len() + ": ".len());
        let attributes = [("reason", error.reason()), ("field", error.field()), ("detail", detail.as_str())];
        Python::attach(|py| {
            for (name, value) in attributes {
                if let Err(failed) = raised.value(py).setattr(name, value) {
                    return failed;
                }
            }
            raised
        })
    }
}

/// A graded batch: the reply for the wire, and how the batch went.
#[pyclass(frozen, module = "pinetune._core")]
struct Graded {
    /// `GradeResponse` in wire format, without `grading_seconds`.
    #[pyo3(get)]
    reply: Py<PyBytes>,
    /// Kind of the grader.
    #[pyo3(get)]
    kind: &'static str,
    /// Its name; of a grader without one its kind.
    #[pyo3(get)]
    name: String,
    counts: Counts,
}

impl Graded {
    fn new(py: Python<'_>, graded: exchange::Graded) -> Self {
        Self {
            reply: PyBytes::new(py, &graded.reply).unbind(),
            kind: graded.kind,
            name: graded.name,
            counts: graded.counts,
        }
    }
}

#[pymethods]
impl Graded {
    /// Grades with a score, by bucket of `score_bounds`; the last bucket is for scores above the last bound.
    #[getter]
    fn score_counts(&self) -> Vec<u64> {
        self.counts.scores.to_vec()
    }

    /// Sum of all scores.
    #[getter]
    fn score_sum(&self) -> f64 {
        self.counts.score_sum
    }

    /// Grades without a score, by error class; classes that did not occur are left out.
    #[getter]
    fn error_counts(&self) -> BTreeMap<&'static str, u64> {
        let named = ErrorClass::ALL.iter().zip(self.counts.errors).filter(|(_, count)| *count > 0);
        named.map(|(class, count)| (class.name(), count)).collect()
    }
}

/// What one part of a grader asks about the samples of a batch.
#[pyclass(frozen, get_all, module = "pinetune._core")]
struct Questions {
    /// Name of the part; empty for a grader that is no multi.
    part: String,
    /// Kind of the part.
    kind: &'static str,
    /// The part's spec as JSON.
    grader: String,
    /// The rows that are asked about.
    rows: Vec<usize>,
    /// The question of each of those rows, as JSON.
    bodies: Vec<String>,
}

/// Grades a `GradeRequest` in wire format, or returns what has to be asked first, by part. Raises `GraderError` where
/// the grader or the batch's shape is wrong.
#[pyfunction]
fn grade<'py>(py: Python<'py>, request: &Bound<'py, PyBytes>) -> PyResult<Bound<'py, PyAny>> {
    let request = request.as_bytes();
    match py.detach(|| exchange::grade(request))? {
        exchange::Outcome::Graded(graded) => Ok(Bound::new(py, Graded::new(py, *graded))?.into_any()),
        exchange::Outcome::Asks(questions) => {
            let parts = questions.into_iter().map(|part| Questions {
                part: part.part,
                kind: part.kind,
                grader: part.grader,
                rows: part.rows,
                bodies: part.bodies,
            });
            Ok(PyList::new(py, parts.map(|part| Py::new(py, part)).collect::<PyResult<Vec<_>>>()?)?.into_any())
        }
    }
}

/// Grades a `GradeRequest` whose questions are answered: for each part its name, its rows, and for each row `Grade` in
/// wire format.
#[pyfunction]
#[allow(clippy::needless_pass_by_value)] // PyO3 hands over what it extracted.
fn grade_answered(
    py: Python<'_>,
    request: &Bound<'_, PyBytes>,
    answers: Vec<(String, Vec<usize>, Vec<PyBackedBytes>)>,
) -> PyResult<Graded> {
    let request = request.as_bytes();
    let answers = answers.iter().map(|(part, rows, grades)| PartAnswers {
        part: part.clone(),
        rows: rows.clone(),
        grades: grades.iter().map(|grade| &**grade).collect(),
    });
    let answers = answers.collect();
    let graded = py.detach(|| exchange::grade_answered(request, answers))?;
    Ok(Graded::new(py, graded))
}

/// Answers a `ValidateGraderRequest` in wire format with a `ValidateGraderResponse`. Raises `GraderError`.
#[pyfunction]
fn validate<'py>(py: Python<'py>, request: &Bound<'py, PyBytes>) -> PyResult<Bound<'py, PyBytes>> {
    let request = request.as_bytes();
    let reply = py.detach(|| exchange::validate(request))?;
    Ok(PyBytes::new(py, &reply))
}

/// Writes a `GradeRequest` from its columns; `grader` is a `GraderSpec` in wire format.
#[pyfunction]
#[pyo3(signature = (grader, items_json, output_texts, item_indexes, samples_json, finish_reasons))]
#[allow(clippy::needless_pass_by_value)] // PyO3 hands over what it extracted.
fn encode_grade_request<'py>(
    py: Python<'py>,
    grader: &Bound<'py, PyBytes>,
    items_json: Vec<PyBackedStr>,
    output_texts: Vec<PyBackedStr>,
    item_indexes: Vec<i32>,
    samples_json: Vec<PyBackedStr>,
    finish_reasons: Vec<i32>,
) -> PyResult<Bound<'py, PyBytes>> {
    fn column(texts: &[PyBackedStr]) -> Vec<&str> {
        texts.iter().map(|text| &**text).collect()
    }
    let request = GradeRequest {
        grader: None,
        items_json: column(&items_json),
        output_texts: column(&output_texts),
        item_indexes,
        samples_json: column(&samples_json),
        finish_reasons,
    };
    let grader = grader.as_bytes();
    let bytes = py.detach(|| request.encode_with(grader));
    Ok(PyBytes::new(py, &bytes))
}

/// Version of the grading rules, which fingerprints contain.
#[pyfunction]
fn core_version() -> u32 {
    GRADER_VERSION
}

/// Upper bounds of the buckets of `Graded.score_counts`.
#[pyfunction]
fn score_bounds() -> Vec<f64> {
    exchange::SCORE_BOUNDS.to_vec()
}

/// Sets how many threads grade large batches, 0 for one a core. Works once, before the first such batch.
#[pyfunction]
fn set_threads(count: usize) -> PyResult<()> {
    let pool = rayon::ThreadPoolBuilder::new().num_threads(count).thread_name(|number| format!("grade-{number}"));
    pool.build_global().map_err(|fault| PyRuntimeError::new_err(fault.to_string()))
}

/// Has vector code use the instructions `name`: `portable`, `avx2`, `avx512`. For measurements: otherwise it takes the
/// best that the processor has. Works once, before anything is graded.
#[pyfunction]
fn set_instructions(name: &str) -> PyResult<()> {
    Instructions::choose(name).map_err(PyRuntimeError::new_err)
}

impl From<LockdownFault> for PyErr {
    fn from(fault: LockdownFault) -> Self {
        PyRuntimeError::new_err(fault.to_string())
    }
}

/// Locks this process up for good: files and folders of `readable` to read, the folder `writable` to write in, no
/// network, no threads, no programs. Raises `RuntimeError`; the process must then end.
#[pyfunction]
#[allow(clippy::needless_pass_by_value)] // PyO3 hands over what it extracted.
fn lock_down(readable: Vec<String>, writable: String) -> PyResult<()> {
    let readable: Vec<PathBuf> = readable.into_iter().map(PathBuf::from).collect();
    Ok(lockdown::lock_down(&readable, Some(Path::new(&writable)))?)
}

/// Forbids a locked process to fork, too, and to end other processes.
#[pyfunction]
fn forbid_processes() -> PyResult<()> {
    Ok(lockdown::forbid_processes()?)
}

/// Has this process killed when its parent ends. Raises `RuntimeError` where `parent` is its parent no more.
#[pyfunction]
fn die_with(parent: i32) -> PyResult<()> {
    Ok(lockdown::die_with(parent)?)
}

/// Why this machine cannot lock a process up; empty where it can. Tried in a thread of its own, which then ends.
#[pyfunction]
fn lock_down_fault(py: Python<'_>) -> String {
    py.detach(|| lockdown::try_out().err().map(|fault| fault.to_string()).unwrap_or_default())
}

#[pymodule]
fn _core(module: &Bound<'_, PyModule>) -> PyResult<()> {
    let error = module.py().get_type::<GraderError>();
    for attribute in ["reason", "field", "detail"] {
        error.setattr(attribute, "")?;
    }
    module.add("GraderError", error)?;
    module.add_class::<Graded>()?;
    module.add_class::<Questions>()?;
    module.add_function(wrap_pyfunction!(grade, module)?)?;
    module.add_function(wrap_pyfunction!(grade_answered, module)?)?;
    module.add_function(wrap_pyfunction!(validate, module)?)?;
    module.add_function(wrap_pyfunction!(encode_grade_request, module)?)?;
    module.add_function(wrap_pyfunction!(core_version, module)?)?;
    module.add_function(wrap_pyfunction!(score_bounds, module)?)?;
    module.add_function(wrap_pyfunction!(set_threads, module)?)?;
    module.add_function(wrap_pyfunction!(set_instructions, module)?)?;
    module.add_function(wrap_pyfunction!(lock_down, module)?)?;
    module.add_function(wrap_pyfunction!(forbid_processes, module)?)?;
    module.add_function(wrap_pyfunction!(die_with, module)?)?;
    module.add_function(wrap_pyfunction!(lock_down_fault, module)?)
}

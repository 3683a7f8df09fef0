//! A formula over other graders. Every part grades the whole batch; then each row's scores go into the formula. An
//! error of a part is the error of the row, whatever the other parts say, except where the part is a shadow.

use std::collections::BTreeMap;

use crate::error::{GraderError, Path};
use crate::formula::{FUNCTIONS, Formula};
use crate::grade::{ErrorClass, Grade, GradeError};
use crate::spec::{Grader, Rule};
use crate::template::Template;
use crate::wire;

/// The settings.
#[derive(Debug, Clone, PartialEq)]
pub struct Multi {
    parts: BTreeMap<String, Grader>,
    formula: Formula,
    gate: Option<String>,
    shadow: Vec<String>,
}

impl Multi {
    pub(crate) fn read(multi: &wire::MultiGrader, path: &Path) -> Result<Self, GraderError> {
        if multi.graders.is_empty() {
            return Err(GraderError::MissingField { field: path.field("graders") });
        }
        let inside = path.enter("graders");
        let mut parts = BTreeMap::new();
        for (name, part) in &multi.graders {
            if !is_name(name) {
                let detail = "a part's name must be an identifier (letters, digits, _) and no function of formulas";
                return Err(inside.refuse(name, detail));
            }
            parts.insert(name.clone(), read_part(name, part, &inside.enter(name))?);
        }
        if multi.calculate_output.is_empty() {
            return Err(GraderError::MissingField { field: path.field("calculate_output") });
        }
        let refuse = |detail| GraderError::Formula { field: path.field("calculate_output"), detail };
        let formula = Formula::parse(&multi.calculate_output).map_err(refuse)?;
        if let Some(fault) = formula.certain_fault() {
            return Err(refuse(fault));
        }
        let gate = Some(multi.gate.clone()).filter(|gate| !gate.is_empty());
        let read = Self { parts, formula, gate, shadow: multi.shadow.clone() };
        read.check_names(path)?;
        Ok(read)
    }

    fn check_names(&self, path: &Path) -> Result<(), GraderError> {
        let known = || self.parts.keys().cloned().collect::<Vec<_>>().join(", ");
        for name in self.formula.names() {
            let detail = if !self.parts.contains_key(name) {
                format!("`{name}` names no part; the parts are {}", known())
            } else if self.shadow.contains(name) {
                format!("`{name}` is a shadow part and must not occur in the formula")
            } else {
                continue;
            };
            return Err(GraderError::Formula { field: path.field("calculate_output"), detail });
        }
        for name in &self.shadow {
            if !self.parts.contains_key(name) {
                return Err(path.refuse("shadow", format!("`{name}` names no part; the parts are {}", known())));
            }
        }
        match &self.gate {
            Some(gate) if !self.parts.contains_key(gate) => {
                Err(path.refuse("gate", format!("`{gate}` names no part; the parts are {}", known())))
            }
            Some(gate) if self.shadow.contains(gate) => {
                Err(path.refuse("gate", format!("`{gate}` is a shadow part; a gate decides, a shadow never does")))
            }
            _ => Ok(()),
        }
    }

    pub(crate) fn to_wire(&self) -> wire::MultiGrader {
        wire::MultiGrader {
            graders: self.parts.iter().map(|(name, part)| (name.clone(), part.to_wire())).collect(),
            calculate_output: self.formula.source().to_owned(),
            gate: self.gate.clone().unwrap_or_default(),
            shadow: self.shadow.clone(),
        }
    }

    pub(crate) fn templates(&self) -> Vec<(String, &Template)> {
        let mut templates = Vec::new();
        for (name, part) in &self.parts {
            let of_part = part.templates().into_iter();
            templates.extend(of_part.map(|(field, template)| (format!("graders.{name}.{field}"), template)));
        }
        templates
    }

    /// The parts by name, to be run over a batch.
    pub(crate) fn parts(&self) -> impl Iterator<Item = (&String, &Grader)> {
        self.parts.iter()
    }

    /// The grade of one row from its parts' grades, which come in the order of `parts`: by name, since a protobuf map
    /// keeps no other. The answer shown is the gate's, else that of the first part that found one; the ranks are those
    /// of the gate where it is a ranked list, else of the first ranked part. Shadows show neither.
    pub(crate) fn combine(&self, graded: Vec<Grade>) -> Grade {
        let mut whole = Grade::scored(0.0);
        let (mut answer_is_gates, mut ranks_are_set) = (false, false);
        for ((name, part), grade) in self.parts.iter().zip(graded) {
            let is_gate = self.gate.as_ref() == Some(name);
            let is_shown = !self.shadow.contains(name);
            let found = is_shown && !grade.extracted_answer.is_empty();
            if found && !answer_is_gates && (is_gate || whole.extracted_answer.is_empty()) {
                answer_is_gates = is_gate;
                whole.extracted_answer = grade.extracted_answer;
            }
            if is_shown && matches!(part.rule, Rule::RankedList(_)) && (is_gate || !ranks_are_set) {
                ranks_are_set = true;
                whole.matched_rank = grade.matched_rank;
                whole.listed_count = grade.listed_count;
            }
            let outcome = grade.outcome.map_err(|error| GradeError { part: name.clone(), ..error });
            whole.parts.insert(name.clone(), outcome);
        }
        whole.outcome = self.outcome(&whole.parts);
        whole
    }

    fn outcome(&self, parts: &BTreeMap<String, Result<f64, GradeError>>) -> Result<f64, GradeError> {
        let counted = parts.iter().filter(|(name, _)| !self.shadow.contains(name));
        let errors = counted.filter_map(|(_, outcome)| outcome.as_ref().err());
        // A reference that cannot be read is a fault of the item and holds for every text, so it hides behind no other.
        if let Some(error) = errors.min_by_key(|error| error.class != ErrorClass::InvalidReference) {
            return Err(error.clone());
        }
        let score = |name: &String| parts.get(name).and_then(|outcome| outcome.as_ref().ok()).copied();
        if self.gate.as_ref().and_then(score) == Some(0.0) {
            return Ok(0.0);
        }
        let scores: Vec<f64> = self.formula.names().iter().filter_map(score).collect();
        let failed = |step: String| GradeError::new(ErrorClass::Formula, format!("{}: {step}", self.formula.source()));
        self.formula.value(&scores).map_err(failed)
    }
}

fn read_part(name: &str, part: &wire::Grader, path: &Path) -> Result<Grader, GraderError> {
    let mut read = Grader::from_wire(part, path)?;
    if matches!(read.rule, Rule::Multi(_)) {
        return Err(path.refuse("type", "a part of a multi grader is never itself a multi grader"));
    }
    if part.name.is_empty() {
        name.clone_into(&mut read.name);
    }
    Ok(read)
}

/// Whether a part may be called so: an identifier that is no function.
pub(crate) fn is_name(name: &str) -> bool {
    let mut letters = name.chars();
    letters.next().is_some_and(|first| first.is_ascii_alphabetic() || first == '_')
        && letters.all(|letter| letter.is_ascii_alphanumeric() || letter == '_')
        && !FUNCTIONS.contains(&name)
}

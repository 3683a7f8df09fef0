//! The formula of a multi grader, compiled once: `+ - * / ^`, parentheses and a few functions over named scores. `^` is
//! the power, binds to the right and tighter than a sign before it (`-2^2` is -4); `log` is the natural logarithm;
//! `min` and `max` take any number of arguments. A step without a finite value is an error, even where a later step
//! would hide it.

/// The functions, which therefore are no names of graders.
pub(crate) const FUNCTIONS: [&str; 8] = ["min", "max", "abs", "floor", "ceil", "exp", "sqrt", "log"];

/// Deepest nesting that is accepted: the parser calls itself, and the stack has an end.
const DEEPEST_NESTING: usize = 64;

/// A compiled formula: its steps in the order of calculation, each taking its operands off a stack.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Formula {
    source: String,
    steps: Vec<Step>,
    names: Vec<String>,
}

#[derive(Debug, Clone, Copy, PartialEq)]
enum Step {
    Constant(f64),
    /// Place in `Formula::names`.
    Score(usize),
    Negate,
    Binary(u8),
    /// A function and how many arguments it takes.
    Call(&'static str, usize),
}

impl Formula {
    /// Compiles `source`. The error says what is wrong and at which byte.
    pub(crate) fn parse(source: &str) -> Result<Self, String> {
        let mut parser = Parser { source, at: 0, depth: 0, steps: Vec::new(), names: Vec::new() };
        parser.sum()?;
        if let Some(byte) = parser.peek() {
            return Err(parser.refuse(&format!("unexpected `{}`", char::from(byte))));
        }
        Ok(Self { source: source.to_owned(), steps: parser.steps, names: parser.names })
    }

    pub(crate) fn source(&self) -> &str {
        &self.source
    }

    /// The names that occur, each once, in order of occurrence.
    pub(crate) fn names(&self) -> &[String] {
        &self.names
    }

    /// Whether an operator joins two values; a number alone calculates nothing.
    pub(crate) fn calculates(&self) -> bool {
        self.steps.iter().any(|step| matches!(step, Step::Binary(_)))
    }

    /// Which step has no finite value whatever the scores are, as one of numbers alone; none where scores decide.
    pub(crate) fn certain_fault(&self) -> Option<String> {
        let mut stack: Vec<Option<f64>> = Vec::new();
        for step in &self.steps {
            let operands = stack.split_off(stack.len().saturating_sub(step.operand_count()));
            let known: Option<Vec<f64>> = operands.into_iter().collect();
            let value = match (step, known) {
                (Step::Score(_), _) | (_, None) => None,
                (step, Some(operands)) => match step.value(&operands, &[]) {
                    value if value.is_finite() => Some(value),
                    _ => return Some(format!("{} has no finite value", step.shown(&operands))),
                },
            };
            stack.push(value);
        }
        None
    }

    /// The value under `scores`, which stand in the order of `names`. The error says which step has no finite value.
    pub(crate) fn value(&self, scores: &[f64]) -> Result<f64, String> {
        let mut stack: Vec<f64> = Vec::with_capacity(8);
        for step in &self.steps {
            let operands = stack.split_off(stack.len().saturating_sub(step.operand_count()));
            let value = step.value(&operands, scores);
            if !value.is_finite() {
                return Err(format!("{} has no finite value", step.shown(&operands)));
            }
            stack.push(value);
        }
        stack.pop().ok_or_else(|| "the formula is empty".to_owned())
    }
}

impl Step {
    fn operand_count(self) -> usize {
        match self {
            Step::Constant(_) | Step::Score(_) => 0,
            Step::Negate => 1,
            Step::Binary(_) => 2,
            Step::Call(_, count) => count,
        }
    }

    fn value(self, operands: &[f64], scores: &[f64]) -> f64 {
        match (self, operands) {
            (Step::Constant(value), _) => value,
            (Step::Score(place), _) => scores.get(place).copied().unwrap_or(f64::NAN),
            (Step::Negate, [operand]) => -operand,
            (Step::Binary(operator), [left, right]) => binary(operator, *left, *right),
            (Step::Call(function, _), operands) => call(function, operands),
            _ => f64::NAN,
        }
    }

    fn shown(self, operands: &[f64]) -> String {
        match (self, operands) {
            (Step::Binary(operator), [left, right]) => format!("{left} {} {right}", char::from(operator)),
            (Step::Call(function, _), operands) => {
                let shown: Vec<String> = operands.iter().map(f64::to_string).collect();
                format!("{function}({})", shown.join(", "))
            }
            _ => "a score".to_owned(),
        }
    }
}

fn binary(operator: u8, left: f64, right: f64) -> f64 {
    match operator {
        b'+' => left + right,
        b'-' => left - right,
        b'*' => left * right,
        b'/' => left / right,
        _ => left.powf(right),
    }
}

fn call(function: &str, operands: &[f64]) -> f64 {
    let first = operands.first().copied().unwrap_or(f64::NAN);
    match function {
        "min" => operands.iter().copied().fold(first, f64::min),
        "max" => operands.iter().copied().fold(first, f64::max),
        "abs" => first.abs(),
        "floor" => first.floor(),
        "ceil" => first.ceil(),
        "exp" => first.exp(),
        "sqrt" => first.sqrt(),
        _ => first.ln(),
    }
}

struct Parser<'s> {
    source: &'s str,
    at: usize,
    depth: usize,
    steps: Vec<Step>,
    names: Vec<String>,
}

impl<'s> Parser<'s> {
    fn refuse(&self, what: &str) -> String {
        format!("{what} at byte {} of `{}`", self.at, crate::grade::excerpt(self.source))
    }

    /// The next byte that is no space.
    fn peek(&mut self) -> Option<u8> {
        let rest = &self.source.as_bytes()[self.at..];
        self.at += rest.iter().take_while(|byte| byte.is_ascii_whitespace()).count();
        self.source.as_bytes().get(self.at).copied()
    }

    fn take(&mut self, wanted: &[u8]) -> Option<u8> {
        let byte = self.peek().filter(|byte| wanted.contains(byte))?;
        self.at += 1;
        Some(byte)
    }

    fn take_run(&mut self, belongs: impl Fn(char) -> bool) -> &'s str {
        let rest = &self.source[self.at..];
        let run = &rest[..rest.find(|letter| !belongs(letter)).unwrap_or(rest.len())];
        self.at += run.len();
        run
    }

    fn sum(&mut self) -> Result<(), String> {
        self.product()?;
        while let Some(operator) = self.take(b"+-") {
            self.product()?;
            self.steps.push(Step::Binary(operator));
        }
        Ok(())
    }

    fn product(&mut self) -> Result<(), String> {
        self.signed()?;
        while let Some(operator) = self.take(b"*/") {
            self.signed()?;
            self.steps.push(Step::Binary(operator));
        }
        Ok(())
    }

    fn signed(&mut self) -> Result<(), String> {
        self.depth += 1;
        if self.depth > DEEPEST_NESTING {
            return Err(self.refuse(&format!("nested deeper than {DEEPEST_NESTING} levels")));
        }
        match self.take(b"+-") {
            Some(b'-') => {
                self.signed()?;
                self.steps.push(Step::Negate);
            }
            Some(_) => self.signed()?,
            None => self.power()?,
        }
        self.depth -= 1;
        Ok(())
    }

    fn power(&mut self) -> Result<(), String> {
        self.atom()?;
        if let Some(operator) = self.take(b"^") {
            self.signed()?;
            self.steps.push(Step::Binary(operator));
        }
        Ok(())
    }

    fn atom(&mut self) -> Result<(), String> {
        match self.peek() {
            Some(b'(') => {
                self.at += 1;
                self.sum()?;
                self.close()
            }
            Some(byte) if byte.is_ascii_digit() || byte == b'.' => self.constant(),
            Some(byte) if byte.is_ascii_alphabetic() || byte == b'_' => self.named(),
            Some(_) => Err(self.refuse("expected a number, a grader's name or a function")),
            None => Err(self.refuse("the formula ends where a value is expected")),
        }
    }

    fn close(&mut self) -> Result<(), String> {
        self.take(b")").map(drop).ok_or_else(|| self.refuse("expected `)`"))
    }

    fn constant(&mut self) -> Result<(), String> {
        let start = self.at;
        self.take_run(|letter| letter.is_ascii_digit() || letter == '.');
        let mantissa = self.at;
        if !self.take_run(|letter| matches!(letter, 'e' | 'E')).is_empty() {
            self.take_run(|letter| matches!(letter, '+' | '-'));
            // `2e` is the number 2 and a stray name, not a number.
            if self.take_run(|letter| letter.is_ascii_digit()).is_empty() {
                self.at = mantissa;
            }
        }
        let text = &self.source[start..self.at];
        let value = text.parse::<f64>().ok().filter(|value| value.is_finite());
        self.steps.push(Step::Constant(value.ok_or_else(|| self.refuse(&format!("`{text}` is no finite number")))?));
        Ok(())
    }

    fn named(&mut self) -> Result<(), String> {
        let word = self.take_run(|letter| letter.is_ascii_alphanumeric() || letter == '_');
        let function = FUNCTIONS.into_iter().find(|function| *function == word);
        if self.take(b"(").is_none() {
            return match function {
                Some(_) => Err(self.refuse(&format!("function `{word}` needs its arguments in parentheses"))),
                None => {
                    self.score(word);
                    Ok(())
                }
            };
        }
        let known = || format!("unknown function `{word}`; known: {}", FUNCTIONS.join(", "));
        let function = function.ok_or_else(|| self.refuse(&known()))?;
        self.sum()?;
        let mut count = 1;
        while self.take(b",").is_some() {
            self.sum()?;
            count += 1;
        }
        self.close()?;
        if count > 1 && !matches!(function, "min" | "max") {
            return Err(self.refuse(&format!("`{function}` takes one argument, got {count}")));
        }
        self.steps.push(Step::Call(function, count));
        Ok(())
    }

    fn score(&mut self, name: &str) {
        let place = self.names.iter().position(|known| known == name).unwrap_or(self.names.len());
        if place == self.names.len() {
            self.names.push(name.to_owned());
        }
        self.steps.push(Step::Score(place));
    }
}

//! What a plain kind of grader is: it makes ready what it expects of an item, then grades texts by it.

use crate::grade::{Grade, GradeError};
use crate::scope::Scope;
use crate::template::Template;

/// A plain kind of grader.
pub(crate) trait PlainKind: Sync {
    /// The reference, ready to be compared with.
    type Expected: Send + Sync;

    /// The template of the examined text.
    fn input(&self) -> &Template;

    /// The templates that `expect` reads, by the names of their fields.
    fn references(&self) -> Vec<(&'static str, &Template)>;

    /// Makes ready what an item asks for; once an item where its templates read no sample.
    fn expect(&self, scope: Scope<'_>) -> Result<Self::Expected, GradeError>;

    /// The grade of one text.
    fn grade(&self, expected: &Self::Expected, text: &str) -> Grade;

    /// Every template by the name of its field.
    fn templates(&self) -> Vec<(&'static str, &Template)> {
        let mut templates = vec![("input", self.input())];
        templates.extend(self.references());
        templates
    }
}

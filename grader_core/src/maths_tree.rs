//! The tree of a mathematical answer. Its depth is bounded by whoever builds it, so that walking it is safe.

use crate::quantity::Quantity;

/// A node of the tree.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Node {
    /// An amount.
    Number(Quantity),
    /// An amount that does not fit into 128 bits, as it is written: digits, perhaps a point, perhaps an exponent.
    Long(String),
    /// A variable, or a name such as `f(x)`, `x_1` and `204_5`.
    Symbol(String),
    /// π, e, i or ∞.
    Constant(char),
    /// Two terms or more.
    Sum(Vec<Node>),
    /// Two factors or more.
    Product(Vec<Node>),
    /// One over it.
    Inverse(Box<Node>),
    /// Minus it.
    Negative(Box<Node>),
    /// Plus or minus it; minus or plus where the flag is false.
    PlusMinus(Box<Node>, bool),
    /// Base and exponent.
    Power(Box<Node>, Box<Node>),
    /// A known function.
    Call(&'static str, Vec<Node>),
    /// Hundredths of it.
    Percent(Box<Node>),
    /// Degrees of an angle.
    Degree(Box<Node>),
    /// Words.
    Text(String),
    /// An interval or an ordered list, with its brackets.
    Tuple(char, Vec<Node>, char),
    /// In braces.
    Set(Vec<Node>),
    /// Without brackets.
    List(Vec<Node>),
    /// Sets joined by `∪`, `∩` or `∖`.
    Sets(char, Vec<Node>),
    /// Rows of entries.
    Matrix(Vec<Vec<Node>>),
    /// Sides and the relations between them.
    Relation(Vec<Node>, Vec<char>),
    /// `a : b`.
    Ratio(Vec<Node>),
}

impl Node {
    /// The nodes right below.
    pub(crate) fn children(&self) -> Vec<&Self> {
        match self {
            Self::Number(_) | Self::Long(_) | Self::Symbol(_) | Self::Constant(_) | Self::Text(_) => Vec::new(),
            Self::Inverse(inner)
            | Self::Negative(inner)
            | Self::PlusMinus(inner, _)
            | Self::Percent(inner)
            | Self::Degree(inner) => vec![inner],
            Self::Power(base, exponent) => vec![base, exponent],
            Self::Sum(nodes)
            | Self::Product(nodes)
            | Self::Call(_, nodes)
            | Self::Tuple(_, nodes, _)
            | Self::Set(nodes)
            | Self::List(nodes)
            | Self::Sets(_, nodes)
            | Self::Relation(nodes, _)
            | Self::Ratio(nodes) => nodes.iter().collect(),
            Self::Matrix(rows) => rows.iter().flatten().collect(),
        }
    }

    /// The same node above changed ones.
    pub(crate) fn map(&self, change: &impl Fn(&Self) -> Self) -> Self {
        let boxed = |node: &Self| Box::new(change(node));
        let all = |nodes: &[Self]| nodes.iter().map(change).collect::<Vec<_>>();
        match self {
            Self::Number(_) | Self::Long(_) | Self::Symbol(_) | Self::Constant(_) | Self::Text(_) => self.clone(),
            Self::Inverse(inner) => Self::Inverse(boxed(inner)),
            Self::Negative(inner) => Self::Negative(boxed(inner)),
            Self::PlusMinus(inner, first) => Self::PlusMinus(boxed(inner), *first),
            Self::Percent(inner) => Self::Percent(boxed(inner)),
            Self::Degree(inner) => Self::Degree(boxed(inner)),
            Self::Power(base, exponent) => Self::Power(boxed(base), boxed(exponent)),
            Self::Sum(nodes) => Self::Sum(all(nodes)),
            Self::Product(nodes) => Self::Product(all(nodes)),
            Self::Call(name, nodes) => Self::Call(name, all(nodes)),
            Self::Tuple(open, nodes, close) => Self::Tuple(*open, all(nodes), *close),
            Self::Set(nodes) => Self::Set(all(nodes)),
            Self::List(nodes) => Self::List(all(nodes)),
            Self::Sets(join, nodes) => Self::Sets(*join, all(nodes)),
            Self::Relation(nodes, signs) => Self::Relation(all(nodes), signs.clone()),
            Self::Ratio(nodes) => Self::Ratio(all(nodes)),
            Self::Matrix(rows) => Self::Matrix(rows.iter().map(|row| all(row)).collect()),
        }
    }

    /// Whether a node, this one or one below, is of a kind.
    pub(crate) fn any(&self, is: &impl Fn(&Self) -> bool) -> bool {
        is(self) || self.children().into_iter().any(|child| child.any(is))
    }

    /// Whether its value depends on a name.
    pub(crate) fn has_symbols(&self) -> bool {
        self.any(&|node| matches!(node, Self::Symbol(_) | Self::Text(_)))
    }
}

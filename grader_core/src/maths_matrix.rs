//! Arithmetic of matrices: what adds, multiplies, raises or transposes them becomes one matrix, entry by entry, and a
//! determinant a number. Its cost is bounded; what takes more stays as it is written.

use crate::maths_syntax::joined;
use crate::maths_tree::Node;
use crate::maths_value::{exact, whole};
use crate::quantity::Quantity;

/// Nodes that are copied for each node of the expression, so that the cost grows with it and no faster.
const COPIES: usize = 48;
/// What transposes as an exponent.
const TRANSPOSING: [&str; 3] = ["T", "top", "intercal"];

type Rows = Vec<Vec<Node>>;

/// The value of a part.
enum Part {
    Scalar(Node),
    Matrix(Rows),
}

/// The matrix or number that an expression with matrices is; `None` where it is not understood or takes too much.
pub(crate) fn calculated(node: &Node) -> Option<Node> {
    match (Arithmetic { budget: COPIES * size(node) }).part(node)? {
        Part::Matrix(rows) => Some(Node::Matrix(rows)),
        Part::Scalar(number) => Some(number),
    }
}

struct Arithmetic {
    budget: usize,
}

impl Arithmetic {
    fn part(&mut self, node: &Node) -> Option<Part> {
        if !node.any(&|node| matches!(node, Node::Matrix(_))) {
            return Some(Part::Scalar(node.clone()));
        }
        match node {
            Node::Matrix(rows) => Some(Part::Matrix(rows.clone())).filter(|_| is_full(rows)),
            Node::Sum(terms) => self.folded(terms, Self::sum),
            Node::Product(factors) => self.folded(factors, Self::product),
            Node::Negative(inner) => {
                let inner = self.part(inner)?;
                self.product(Part::Scalar(Node::Number(Quantity::whole(1).negated())), inner)
            }
            Node::Power(base, exponent) => self.power(base, exponent),
            Node::Call("det", arguments) => match self.part(arguments.first()?)? {
                Part::Matrix(rows) if rows.len() == columns(&rows) => self.determinant(&rows).map(Part::Scalar),
                _ => None,
            },
            _ => None,
        }
    }

    fn folded(&mut self, nodes: &[Node], join: impl Fn(&mut Self, Part, Part) -> Option<Part>) -> Option<Part> {
        let (first, rest) = nodes.split_first()?;
        let mut all = self.part(first)?;
        for node in rest {
            let next = self.part(node)?;
            all = join(self, all, next)?;
        }
        Some(all)
    }

    fn sum(&mut self, left: Part, right: Part) -> Option<Part> {
        let (left, right) = match (left, right) {
            (Part::Matrix(left), Part::Matrix(right)) => (left, right),
            (Part::Scalar(left), Part::Scalar(right)) => return self.entry(&[&[&left], &[&right]]).map(Part::Scalar),
            _ => return None,
        };
        if left.len() != right.len() || columns(&left) != columns(&right) {
            return None;
        }
        let mut entry = |(left, right): (&Node, &Node)| self.entry(&[&[left], &[right]]);
        let mut row = |(left, right): (&Vec<Node>, &Vec<Node>)| left.iter().zip(right).map(&mut entry).collect();
        left.iter().zip(&right).map(&mut row).collect::<Option<_>>().map(Part::Matrix)
    }

    fn product(&mut self, left: Part, right: Part) -> Option<Part> {
        match (left, right) {
            (Part::Matrix(left), Part::Matrix(right)) => {
                let mut rows = self.matrix_product(&left, &right)?;
                // A row times a column is a number.
                let is_number = rows.len() == 1 && columns(&rows) == 1;
                if is_number { rows.pop()?.pop().map(Part::Scalar) } else { Some(Part::Matrix(rows)) }
            }
            (Part::Scalar(factor), Part::Matrix(rows)) | (Part::Matrix(rows), Part::Scalar(factor)) => {
                let mut entry = |entry: &Node| self.entry(&[&[&factor, entry]]);
                let mut row = |row: &Vec<Node>| row.iter().map(&mut entry).collect();
                rows.iter().map(&mut row).collect::<Option<_>>().map(Part::Matrix)
            }
            (Part::Scalar(left), Part::Scalar(right)) => self.entry(&[&[&left, &right]]).map(Part::Scalar),
        }
    }

    fn matrix_product(&mut self, left: &Rows, right: &Rows) -> Option<Rows> {
        if columns(left) != right.len() {
            return None;
        }
        let right = transposed(right);
        let mut entry = |row: &[Node], column: &[Node]| {
            let terms: Vec<[&Node; 2]> = row.iter().zip(column).map(<[&Node; 2]>::from).collect();
            self.entry(&terms.iter().map(<[&Node; 2]>::as_slice).collect::<Vec<_>>())
        };
        let mut row = |row: &Vec<Node>| right.iter().map(|column| entry(row, column)).collect();
        left.iter().map(&mut row).collect()
    }

    fn power(&mut self, base: &Node, exponent: &Node) -> Option<Part> {
        let rows = match self.part(base)? {
            Part::Matrix(rows) => rows,
            Part::Scalar(number) => {
                return Some(Part::Scalar(Node::Power(Box::new(number), Box::new(exponent.clone()))));
            }
        };
        if matches!(exponent, Node::Symbol(name) if TRANSPOSING.contains(&name.as_str())) {
            return Some(Part::Matrix(transposed(&rows)));
        }
        self.raised(rows, whole(exponent)?).map(Part::Matrix)
    }

    /// By squaring; `None` for the power of zero.
    fn raised(&mut self, mut square: Rows, mut times: u32) -> Option<Rows> {
        let mut power: Option<Rows> = None;
        while times > 0 {
            if times % 2 == 1 {
                power = Some(match power {
                    Some(power) => self.matrix_product(&power, &square)?,
                    None => square.clone(),
                });
            }
            times /= 2;
            if times > 0 {
                square = self.matrix_product(&square, &square)?;
            }
        }
        power
    }

    /// Expanded along the first row.
    fn determinant(&mut self, rows: &[Vec<Node>]) -> Option<Node> {
        let Some((first, rest)) = rows.split_first() else { return Some(Node::Number(Quantity::whole(1))) };
        let mut terms = Vec::new();
        for (column, factor) in first.iter().enumerate() {
            let without = |row: &Vec<Node>| [&row[..column], &row[column + 1..]].concat();
            let minor = self.determinant(&rest.iter().map(without).collect::<Vec<_>>())?;
            let term = self.entry(&[&[factor, &minor]])?;
            terms.push(if column % 2 == 0 { term } else { Node::Negative(Box::new(term)) });
        }
        let terms: Vec<[&Node; 1]> = terms.iter().map(|term| [term]).collect();
        self.entry(&terms.iter().map(<[&Node; 1]>::as_slice).collect::<Vec<_>>())
    }

    /// A sum of products, as a number where it is one.
    fn entry(&mut self, terms: &[&[&Node]]) -> Option<Node> {
        let nodes = terms.iter().copied().flatten().map(|node| size(node)).sum();
        self.budget = self.budget.checked_sub(nodes)?;
        let product = |factors: &&[&Node]| joined(factors.iter().copied().cloned().collect(), Node::Product);
        let sum = joined(terms.iter().map(product).collect::<Option<_>>()?, Node::Sum)?;
        Some(exact(&sum).map_or(sum, Node::Number))
    }
}

/// Whether all rows are as long.
fn is_full(rows: &Rows) -> bool {
    rows.iter().all(|row| row.len() == columns(rows))
}

fn columns(rows: &Rows) -> usize {
    rows.first().map_or(0, Vec::len)
}

fn transposed(rows: &Rows) -> Rows {
    (0..columns(rows)).map(|column| rows.iter().filter_map(|row| row.get(column)).cloned().collect()).collect()
}

fn size(node: &Node) -> usize {
    1 + node.children().into_iter().map(size).sum::<usize>()
}

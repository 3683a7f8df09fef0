//! How credit falls with the rank.

use crate::error::{GraderError, Path};
use crate::wire;

/// The curves as JSON spells them, in the order of the contract's numbers, which start at 1.
pub(crate) const CURVES: [&str; 4] = ["table", "reciprocal", "linear", "dcg"];

const DEFAULT_TABLE: [f64; 5] = [1.0, 0.7, 0.5, 0.35, 0.25];

/// Credit as a function of the rank, which counts from 1.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum RankCurve {
    /// The credit of rank 1, 2, …; nothing beyond the end.
    Table(Vec<f64>),
    /// 1 / rank.
    Reciprocal,
    /// From 1 at rank 1 evenly down to 0 at this rank.
    Linear(usize),
    /// 1 / log2(rank + 1), the discount of DCG (Järvelin and Kekäläinen 2002).
    Dcg,
}

impl RankCurve {
    pub(crate) fn read(curve: Option<&wire::RankCurve>, path: &Path) -> Result<Self, GraderError> {
        let curve = curve.cloned().unwrap_or_default();
        if !matches!(curve.kind, 0 | 1) && !curve.table.is_empty() {
            return Err(path.refuse("table", "belongs to kind table only"));
        }
        if curve.kind != 3 && curve.zero_rank != 0 {
            return Err(path.refuse("zero_rank", "belongs to kind linear only"));
        }
        match curve.kind {
            0 | 1 if curve.table.is_empty() => Ok(Self::Table(DEFAULT_TABLE.to_vec())),
            0 | 1 => Self::read_table(curve.table, path),
            2 => Ok(Self::Reciprocal),
            3 => {
                match usize::try_from(curve.zero_rank) {
                    Ok(zero_rank) if zero_rank >= 2 => Ok(Self::Linear(zero_rank)),
                    Ok(0) => Err(path
                        .refuse("zero_rank", "kind linear needs the rank from which there is no credit, at least 2")),
                    _ => Err(path.refuse("zero_rank", format!("must be at least 2, got {}", curve.zero_rank))),
                }
            }
            4 => Ok(Self::Dcg),
            other => Err(path.refuse("kind", format!("must be one of {} (1 to 4), got {other}", CURVES.join(", ")))),
        }
    }

    fn read_table(table: Vec<f64>, path: &Path) -> Result<Self, GraderError> {
        if let Some(place) = table.iter().position(|credit| !(0.0..=1.0).contains(credit)) {
            let detail = format!("must be 0 to 1, got {}", table.get(place).copied().unwrap_or_default());
            return Err(path.refuse(&format!("table[{place}]"), detail));
        }
        for (place, pair) in table.windows(2).enumerate() {
            if let [before, credit] = pair
                && credit > before
            {
                let detail = format!("must not be above the credit of the rank before, {before}; got {credit}");
                return Err(path.refuse(&format!("table[{}]", place + 1), detail));
            }
        }
        Ok(Self::Table(table))
    }

    pub(crate) fn to_wire(&self) -> wire::RankCurve {
        let (kind, table, zero_rank) = match self {
            Self::Table(table) => (1, table.clone(), 0),
            Self::Reciprocal => (2, Vec::new(), 0),
            Self::Linear(zero_rank) => (3, Vec::new(), i32::try_from(*zero_rank).unwrap_or(i32::MAX)),
            Self::Dcg => (4, Vec::new(), 0),
        };
        wire::RankCurve { kind, table, zero_rank }
    }

    /// The credit of a rank of at least 1.
    pub(crate) fn credit(&self, rank: usize) -> f64 {
        #[allow(clippy::cast_precision_loss)]
        let distance = rank as f64;
        match self {
            Self::Table(table) => table.get(rank - 1).copied().unwrap_or(0.0),
            Self::Reciprocal => 1.0 / distance,
            #[allow(clippy::cast_precision_loss)]
            Self::Linear(zero_rank) => (1.0 - (distance - 1.0) / (*zero_rank as f64 - 1.0)).max(0.0),
            Self::Dcg => 1.0 / (distance + 1.0).log2(),
        }
    }
}

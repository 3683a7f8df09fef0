//! The names of mathematical writing: which are functions, units, prose or style, and what the others stand for.

use crate::latex::Token;

/// Functions that are understood, by their names in LaTeX and in plain text.
pub(crate) const FUNCTIONS: [&str; 25] = [
    "sin", "cos", "tan", "cot", "sec", "csc", "arcsin", "arccos", "arctan", "sinh", "cosh", "tanh", "ln", "log", "lg",
    "exp", "max", "min", "gcd", "lcm", "abs", "floor", "ceil", "det", "arg",
];
/// Words behind a number that are units, whatever stands between.
pub(crate) const UNITS: [&str; 28] = [
    "cm", "mm", "km", "dm", "kg", "mg", "ml", "ft", "in", "inch", "inches", "lb", "lbs", "oz", "hr", "hrs", "mph",
    "sq", "cubic", "square", "meters", "miles", "units", "dollars", "cents", "hours", "minutes", "seconds",
];
/// Short words of prose: text that has one is no mathematics.
pub(crate) const PROSE: [&str; 22] = [
    "is", "of", "to", "we", "so", "if", "at", "by", "it", "be", "as", "on", "no", "he", "me", "my", "us", "do", "go",
    "an", "up", "has",
];
/// Codes of currencies, which may stand before a number.
pub(crate) const CURRENCIES: [&str; 6] = ["usd", "eur", "gbp", "inr", "rs", "cny"];
/// What may stand between two groups of three digits, anywhere.
pub(crate) const THOUSANDS_MARKS: [&str; 6] = [",\\!", "\\,", "\\!", "\u{a0}", "\u{2009}", "\u{202f}"];
/// Commands that only style.
pub(crate) const STYLES: [&str; 36] = [
    "left",
    "right",
    "big",
    "Big",
    "bigg",
    "Bigg",
    "bigl",
    "bigr",
    "Bigl",
    "Bigr",
    "displaystyle",
    "textstyle",
    "limits",
    "boxed",
    "fbox",
    "mathbf",
    "mathit",
    "mathsf",
    "mathcal",
    "boldsymbol",
    "bm",
    "bf",
    "it",
    "vec",
    "underline",
    "overrightarrow",
    "quad",
    "qquad",
    "nolimits",
    "mathopen",
    "mathclose",
    "scriptstyle",
    "hspace",
    "space",
    "phantom",
    "therefore",
];
/// Commands that put an accent over their argument.
pub(crate) const ACCENTS: [&str; 9] =
    ["overline", "hat", "bar", "widehat", "tilde", "widetilde", "dot", "ddot", "check"];
/// Commands whose argument is text.
pub(crate) const TEXTS: [&str; 11] =
    ["text", "textbf", "textit", "textrm", "textnormal", "mbox", "mathrm", "rm", "operatorname", "texttt", "textsf"];
/// Commands of mathematics that is not understood; text with one is compared as text.
pub(crate) const NOT_UNDERSTOOD: [&str; 16] = [
    "int",
    "lim",
    "pmod",
    "equiv",
    "forall",
    "exists",
    "implies",
    "iff",
    "to",
    "rightarrow",
    "Rightarrow",
    "mapsto",
    "over",
    "subset",
    "subseteq",
    "iint",
];
/// Environments that are matrices.
pub(crate) const MATRICES: [&str; 8] =
    ["pmatrix", "bmatrix", "vmatrix", "Vmatrix", "Bmatrix", "matrix", "smallmatrix", "array"];

/// Raised digits by their values, and raised signs.
pub(crate) const SUPERSCRIPTS: [char; 11] = ['⁰', '¹', '²', '³', '⁴', '⁵', '⁶', '⁷', '⁸', '⁹', '⁻'];
/// Letters of Chinese, Japanese and Korean that multiply the number before them.
pub(crate) const NUMBER_WORDS: [char; 14] =
    ['十', '百', '千', '万', '萬', '亿', '億', '兆', '십', '백', '천', '만', '억', '조'];

/// Greek letters and the commands for them.
pub(crate) const GREEK: [(&str, &str); 32] = [
    ("α", "alpha"),
    ("β", "beta"),
    ("γ", "gamma"),
    ("δ", "delta"),
    ("ε", "epsilon"),
    ("ζ", "zeta"),
    ("η", "eta"),
    ("θ", "theta"),
    ("ι", "iota"),
    ("κ", "kappa"),
    ("λ", "lambda"),
    ("μ", "mu"),
    ("ν", "nu"),
    ("ξ", "xi"),
    ("ρ", "rho"),
    ("σ", "sigma"),
    ("τ", "tau"),
    ("υ", "upsilon"),
    ("φ", "phi"),
    ("χ", "chi"),
    ("ψ", "psi"),
    ("ω", "omega"),
    ("Γ", "Gamma"),
    ("Δ", "Delta"),
    ("Θ", "Theta"),
    ("Λ", "Lambda"),
    ("Ξ", "Xi"),
    ("Π", "Pi"),
    ("Σ", "Sigma"),
    ("Φ", "Phi"),
    ("Ψ", "Psi"),
    ("Ω", "Omega"),
];

/// Whether a letter can be a name in mathematics: those of Latin and Greek, and what Unicode has for formulas.
pub(crate) fn is_symbolic(letter: char) -> bool {
    matches!(
        letter,
        '\0'..='\u{24f}' | '\u{370}'..='\u{3ff}' | '\u{1e00}'..='\u{1fff}' | '\u{2070}'..='\u{214f}' | '\u{1d400}'..='\u{1d7ff}'
    )
}

/// Whether a word stands for mathematics.
pub(crate) fn is_mathematical(word: &str) -> bool {
    let lower = word.to_lowercase();
    FUNCTIONS.contains(&lower.as_str()) || matches!(lower.as_str(), "pi" | "sqrt" | "infinity" | "inf" | "infty")
}

/// The token of a command that is no function, text or style; a name of its own where the command is not known.
pub(crate) fn token_of(name: &str) -> Token {
    let sign = match name {
        "frac" | "dfrac" | "tfrac" | "cfrac" => return Token::Fraction,
        "binom" | "dbinom" | "tbinom" => return Token::Binomial,
        "sqrt" => return Token::Root,
        "sum" => return Token::Series("sum"),
        "prod" => return Token::Series("prod"),
        "pi" => return Token::Constant('π'),
        "infty" => return Token::Constant('∞'),
        "langle" | "lparen" => return Token::Open('('),
        "rangle" | "rparen" => return Token::Close(')'),
        "lbrace" => return Token::Open('S'),
        "rbrace" => return Token::Close('S'),
        "lbrack" => return Token::Open('['),
        "rbrack" => return Token::Close(']'),
        "lfloor" => return Token::Open('⌊'),
        "rfloor" => return Token::Close('⌊'),
        "lceil" => return Token::Open('⌈'),
        "rceil" => return Token::Close('⌈'),
        "ldots" | "dots" | "cdots" => return Token::Symbol("…".to_owned()),
        "emptyset" | "varnothing" => return Token::Symbol("∅".to_owned()),
        "bmod" | "mod" => '⁒',
        "cdot" | "times" | "ast" => '*',
        "div" => '/',
        "pm" => '±',
        "mp" => '∓',
        "le" | "leq" | "leqslant" => '≤',
        "ge" | "geq" | "geqslant" => '≥',
        "lt" => '<',
        "gt" => '>',
        "ne" | "neq" => '≠',
        "approx" | "simeq" | "sim" => '≈',
        "in" => '∈',
        "cup" => '∪',
        "cap" => '∩',
        "setminus" | "backslash" => '∖',
        "circ" | "degree" => '°',
        "prime" => '\'',
        "lvert" | "rvert" | "vert" | "mid" | "lVert" | "rVert" | "Vert" => '|',
        "colon" => ':',
        other => return Token::Symbol(other.to_owned()),
    };
    Token::Sign(sign)
}

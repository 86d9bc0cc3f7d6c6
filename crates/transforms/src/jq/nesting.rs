//! How deeply the text of a program is nested: it is read, and run, by recursion.

use jaq_core::load::lex::{StrPart, Tok, Token};
use jaq_core::load::parse::Term;
use jaq_core::load::{self, Lexer};
use jaq_core::path::{Part, Path};

/// The longest program, in bytes, and in words and signs.
const LENGTH: usize = 64 * 1024;
const TOKENS: usize = 8_000;

/// The most brackets within each other.
const BRACKETS: usize = 128;

/// The most parts within each other: each takes its part of the stack when the program runs.
const DEPTH: usize = 400;

/// The stack for reading a program of the longest kind.
const STACK: usize = 128 << 20;

/// Runs `compile` where a program has the stack that it needs.
///
/// # Errors
/// Where the program is too long or too deeply nested, and those of `compile`.
pub(super) fn with_stack<T: Send>(
    program: &str,
    compile: impl FnOnce() -> Result<T, String> + Send,
) -> Result<T, String> {
    if program.len() > LENGTH {
        return Err(format!("the program is longer than {} KiB", LENGTH >> 10));
    }
    if brackets(program) > BRACKETS {
        return Err(format!("the program has more than {BRACKETS} brackets within each other"));
    }
    let compile = || {
        if Lexer::new(program).lex().is_ok_and(|tokens| count(&tokens) > TOKENS) {
            return Err(format!("the program has more than {TOKENS} words and signs"));
        }
        let term = load::parse(program, |parser| parser.term());
        if term.as_ref().is_some_and(|term| depth(term) > DEPTH) {
            return Err(format!("the program is nested deeper than {DEPTH} levels"));
        }
        drop(term);
        compile()
    };
    std::thread::scope(|scope| {
        let builder = std::thread::Builder::new().stack_size(STACK);
        let thread = builder
            .spawn_scoped(scope, compile)
            .map_err(|error| format!("there is no thread to read the program: {error}"))?;
        thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
    })
}

/// The most brackets that are open at a time; those in texts and comments count too.
fn brackets(program: &str) -> usize {
    let (mut open, mut most) = (0_usize, 0);
    for byte in program.bytes() {
        match byte {
            b'(' | b'[' | b'{' => open += 1,
            b')' | b']' | b'}' => open = open.saturating_sub(1),
            _ => {}
        }
        most = most.max(open);
    }
    most
}

fn count(tokens: &[Token<&str>]) -> usize {
    let inner = tokens.iter().map(|Token(_, token)| match token {
        Tok::Block(tokens) => count(tokens),
        Tok::Str(parts) => {
            let inner = parts.iter().map(|part| match part {
                StrPart::Term(token) => count(std::slice::from_ref(token)),
                _ => 0,
            });
            parts.len() + inner.sum::<usize>()
        }
        _ => 0,
    });
    tokens.len() + inner.sum::<usize>()
}

fn depth(term: &Term<&str>) -> usize {
    1 + match term {
        Term::Id | Term::Recurse | Term::Num(_) | Term::Break(_) | Term::Var(_) => 0,
        Term::Str(_, parts) => {
            let inner = parts.iter().map(|part| match part {
                StrPart::Term(term) => depth(term),
                _ => 0,
            });
            parts.len() + inner.max().unwrap_or(0)
        }
        Term::Arr(inner) => inner.as_deref().map_or(0, depth),
        Term::Obj(fields) => {
            let inner = fields.iter().map(|(key, value)| depth(key).max(value.as_ref().map_or(0, depth)));
            // Each field is added to those before it.
            fields.len() / 2 + inner.max().unwrap_or(0)
        }
        Term::Neg(inner) | Term::Label(_, inner) => depth(inner),
        Term::BinOp(left, _, right) => depth(left).max(depth(right)),
        Term::Fold(_, from, _, args) => depth(from).max(deepest(args)),
        Term::TryCatch(inner, catch) => depth(inner).max(catch.as_deref().map_or(0, depth)),
        Term::IfThenElse(cases, other) => {
            let inner = cases.iter().map(|(condition, then)| depth(condition).max(depth(then)));
            let inner = inner.max().unwrap_or(0);
            cases.len() + inner.max(other.as_deref().map_or(0, depth))
        }
        Term::Def(definitions, rest) => {
            let bodies = definitions.iter().map(|definition| depth(&definition.body));
            bodies.max().unwrap_or(0).max(depth(rest))
        }
        Term::Call(_, args) => deepest(args),
        Term::Path(from, Path(parts)) => {
            let inner = parts.iter().map(|(part, _)| match part {
                Part::Index(index) => depth(index),
                Part::Range(from, to) => from.iter().chain(to).map(depth).max().unwrap_or(0),
            });
            parts.len() + depth(from).max(inner.max().unwrap_or(0))
        }
    }
}

fn deepest(terms: &[Term<&str>]) -> usize {
    terms.iter().map(depth).max().unwrap_or(0)
}

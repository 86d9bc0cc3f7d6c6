//! What a program has used up: steps, memory, stack. One that goes too far is refused.
//!
//! The interpreter has no place for an account of its own in the operations on values, and values are made
//! and dropped wherever it likes. A program runs on one thread from its start to its end, though, so the account
//! is the thread's. What is refused stays refused: a `try` in the program does not get around it.

use std::cell::{Cell, RefCell};
use std::fmt;

use tokio_util::sync::CancellationToken;

/// How far below the start of a program its recursion may reach down the stack, in bytes. The threads
/// that run programs have two megabytes or more.
pub(super) const STACK: usize = 640 * 1024;

/// Values nested deeper than this are refused: they could not be walked without overflowing a stack.
pub(super) const DEPTH: u32 = 512;

/// The bytes that the values of a program may take beside its input.
const MEMORY: i64 = 128 << 20;

/// How many times the size of the input they may take above that.
const SHARE: i64 = 4;

/// Why a program is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Refusal {
    Steps,
    Memory,
    Depth,
    Stack,
    Digits,
    Cancelled,
}

thread_local! {
    static LEFT: Cell<u64> = const { Cell::new(u64::MAX) };
    static ALLOWED: Cell<u64> = const { Cell::new(u64::MAX) };
    static HELD: Cell<i64> = const { Cell::new(0) };
    static MOST: Cell<i64> = const { Cell::new(i64::MAX) };
    static START: Cell<usize> = const { Cell::new(0) };
    static STACK_ROOM: Cell<usize> = const { Cell::new(STACK) };
    static REFUSED: Cell<Option<Refusal>> = const { Cell::new(None) };
    static CANCEL: RefCell<Option<CancellationToken>> = const { RefCell::new(None) };
}

/// A program that is metered, until this is dropped.
pub(super) struct Metered {
    before: Before,
}

/// The account of a program that this one runs within, on the same thread.
struct Before {
    left: u64,
    allowed: u64,
    held: i64,
    most: i64,
    start: usize,
    stack: usize,
    refused: Option<Refusal>,
    cancel: Option<CancellationToken>,
}

impl Metered {
    /// Starts the account of a program that has this much stack. Nothing else is refused before
    /// [`Metered::limit`] is called.
    pub(super) fn start(cancel: &CancellationToken, stack: usize) -> Self {
        let before = Before {
            left: LEFT.replace(u64::MAX),
            allowed: ALLOWED.replace(u64::MAX),
            held: HELD.replace(0),
            most: MOST.replace(i64::MAX),
            start: START.replace(stack_position()),
            stack: STACK_ROOM.replace(stack),
            refused: REFUSED.take(),
            cancel: CANCEL.replace(Some(cancel.clone())),
        };
        Self { before }
    }

    /// From now on the program may take this many steps; what is held now is its input.
    pub(super) fn limit(&self, steps: u64) {
        let input = HELD.get().max(0);
        LEFT.set(steps);
        ALLOWED.set(steps);
        MOST.set(input.saturating_mul(1 + SHARE).saturating_add(MEMORY));
    }

    /// Why the program is refused, where it is.
    pub(super) fn refused(&self) -> Option<String> {
        REFUSED.get().map(|refusal| refusal.to_string())
    }
}

impl Drop for Metered {
    fn drop(&mut self) {
        let before = &mut self.before;
        LEFT.set(before.left);
        ALLOWED.set(before.allowed);
        HELD.set(before.held);
        MOST.set(before.most);
        START.set(before.start);
        STACK_ROOM.set(before.stack);
        REFUSED.set(before.refused);
        CANCEL.replace(before.cancel.take());
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Steps => {
                write!(f, "the program has taken {} steps and not come to an end", ALLOWED.get())
            }
            Self::Memory => write!(f, "the program asks for more than {} MiB of memory", MOST.get() >> 20),
            Self::Depth => write!(f, "the program makes a value that is nested deeper than {DEPTH} levels"),
            Self::Stack => f.write_str("the program recurses too deeply"),
            Self::Digits => f.write_str("the program makes a number of far too many digits"),
            Self::Cancelled => f.write_str("the run was cancelled"),
        }
    }
}

/// About where the stack is. The stack grows towards lower addresses on every platform that we run on;
/// elsewhere the distance is a large number too, as its absolute value is taken.
#[inline(never)]
fn stack_position() -> usize {
    let here = 0u8;
    std::ptr::from_ref(std::hint::black_box(&here)) as usize
}

#[cold]
fn refuse(refusal: Refusal) -> bool {
    if REFUSED.get().is_none() {
        REFUSED.set(Some(refusal));
    }
    false
}

/// Refuses the program: a value would be nested too deeply.
pub(super) fn refuse_depth() -> bool {
    refuse(Refusal::Depth)
}

/// Refuses the program: a number would have too many digits.
pub(super) fn refuse_digits() -> bool {
    refuse(Refusal::Digits)
}

/// Whether the program may go on.
#[inline]
pub(super) fn may_go_on() -> bool {
    REFUSED.get().is_none()
}

/// Why the program may not go on, as an error within it. It is never seen there: the program is refused.
pub(super) fn why() -> String {
    REFUSED.get().map_or_else(String::new, |refusal| refusal.to_string())
}

/// Counts steps of a loop or a recursion. Returns false when the program may not go on.
#[inline]
pub(super) fn spend(steps: u64) -> bool {
    let left = LEFT.get();
    if left < steps {
        return refuse(Refusal::Steps);
    }
    LEFT.set(left - steps);
    if (left - steps) / 1024 != left / 1024 && is_cancelled() {
        return refuse(Refusal::Cancelled);
    }
    if START.get().abs_diff(stack_position()) > STACK_ROOM.get() {
        return refuse(Refusal::Stack);
    }
    may_go_on()
}

#[cold]
fn is_cancelled() -> bool {
    CANCEL.with_borrow(|cancel| cancel.as_ref().is_some_and(CancellationToken::is_cancelled))
}

/// Takes memory for a value. Returns false when the program may not go on.
#[inline]
pub(super) fn take(bytes: usize) -> bool {
    let held = HELD.get().saturating_add(signed(bytes));
    if held > MOST.get() {
        return refuse(Refusal::Memory);
    }
    HELD.set(held);
    may_go_on()
}

/// Whether this much memory is left: for what is made aside and never counted.
pub(super) fn has_room(bytes: u64) -> bool {
    let bytes = i64::try_from(bytes).unwrap_or(i64::MAX);
    if HELD.get().saturating_add(bytes) > MOST.get() {
        return refuse(Refusal::Memory);
    }
    may_go_on()
}

/// Gives memory back.
#[inline]
pub(super) fn give_back(bytes: usize) {
    HELD.set(HELD.get().saturating_sub(signed(bytes)));
}

fn signed(bytes: usize) -> i64 {
    i64::try_from(bytes).unwrap_or(i64::MAX)
}

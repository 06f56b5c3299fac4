//! Calls of `SSL_read` and `SSL_write`: which connection, which bytes, which port.
//!
//! libssl does not say which socket a connection has. But a thread that reads from a connection reads from its socket on the way, so the
//! socket that a thread takes bytes from within a call of `SSL_read` is the connection's.

use aya_ebpf::{
    helpers::bpf_get_current_pid_tgid,
    programs::{BtfTracePointContext, ProbeContext},
};
use foobar_common::{
    http::side::phase,
    probes::{Call, NOT_OBSERVED, Session, SessionKey},
};

use crate::{
    conversation,
    maps::PROBE_SETTINGS,
    memory, place,
    sessions::{BLANK, CALLS, SESSIONS},
    target,
};

#[inline(always)]
pub fn begin(context: &ProbeContext) -> Option<()> {
    start(context, context.arg(1)?, context.arg(3)?)
}

/// A handshake, whose end is not seen. A server may take the first request off the socket with the last of the handshake, so the
/// port that is seen here is that of the next call for the same connection.
#[inline(always)]
pub fn handshake(context: &ProbeContext) -> Option<()> {
    start(context, 0, 0)
}

#[inline(always)]
fn start(context: &ProbeContext, buffer: u64, count: u64) -> Option<()> {
    target::of(context)?;
    place::settings()?;
    let mut call = Call { session: context.arg(0)?, buffer, count, ..Call::default() };
    let thread = bpf_get_current_pid_tgid();
    match CALLS.get_ptr_mut(&thread) {
        // SAFETY: the entry of this thread, which alone writes it.
        Some(known) => unsafe {
            if (*known).session == call.session {
                call.port = (*known).port;
            }
            *known = call;
        },
        // What is not remembered is not read, and its connection is lost until its next turn.
        None => drop(CALLS.insert(&thread, &call, 0)),
    }
    Some(())
}

#[inline(always)]
pub fn end<const WRITTEN: bool>(context: &ProbeContext) -> Option<()> {
    let target = target::of(context)?;
    let thread = bpf_get_current_pid_tgid();
    let known = CALLS.get_ptr_mut(&thread)?;
    // SAFETY: the entry of this thread, which alone writes it.
    let call = unsafe { *known };
    if call.session == 0 {
        return None;
    }
    // SAFETY: as above.
    unsafe { (*known).session = 0 };
    // SAFETY: the registers that the kernel saved for this program.
    let result = unsafe { (*context.regs).rax } as i32;
    if result <= 0 {
        return None;
    }
    let bytes: u64 = memory::user(call.count)?;
    let session = session(&SessionKey { process: thread >> 32, session: call.session })?;
    // SAFETY: an entry of the table, which this thread alone uses now.
    let slot = unsafe {
        if (*session).slot == 0 && call.port != 0 {
            (*session).slot =
                place::slot(call.port as u16, 0).map_or(NOT_OBSERVED, |slot| slot + 1);
        }
        (*session).slot
    };
    if slot == NOT_OBSERVED {
        return None;
    }
    conversation::read::<WRITTEN>(session, call.buffer, bytes);
    if slot != 0 {
        target::seen(target, target::now());
        conversation::hand_over(session, slot - 1);
    }
    Some(())
}

/// A connection of which what is written is not read: it counts once as such, where its port is known by now.
#[inline(always)]
pub fn unread(context: &ProbeContext) -> Option<()> {
    target::of(context)?;
    let thread = bpf_get_current_pid_tgid();
    let key = SessionKey { process: thread >> 32, session: context.arg(0)? };
    let port = CALLS.get_ptr_mut(&thread).map_or(0, |call| {
        // SAFETY: the entry of this thread.
        unsafe { if (*call).session == key.session { (*call).port } else { 0 } }
    });
    let session = session(&key)?;
    // SAFETY: an entry of the table, which this thread alone uses now.
    let slot = unsafe {
        if (*session).slot == 0 && port != 0 {
            (*session).slot = place::slot(port as u16, 0).map_or(NOT_OBSERVED, |slot| slot + 1);
        }
        if (*session).flow.leaving.phase != phase::LOST {
            (*session).flow.lose_leaving(&mut (*session).counted);
        }
        (*session).slot
    };
    if slot != 0 && slot != NOT_OBSERVED {
        conversation::hand_over(session, slot - 1);
    }
    Some(())
}

#[inline(always)]
pub fn free(context: &ProbeContext) -> Option<()> {
    target::of(context)?;
    let key = SessionKey { process: bpf_get_current_pid_tgid() >> 32, session: context.arg(0)? };
    let session = SESSIONS.get_ptr_mut(&key)?;
    // SAFETY: an entry of the table; nobody else uses a connection that is being freed.
    let slot = unsafe { (*session).slot };
    if slot != 0 && slot != NOT_OBSERVED {
        // SAFETY: as above.
        unsafe { (*session).counted.aborted += (*session).flow.give_up() as u64 };
        conversation::hand_over(session, slot - 1);
    }
    let _ = SESSIONS.remove(&key);
    Some(())
}

#[inline(always)]
pub fn socket(context: &BtfTracePointContext) -> Option<()> {
    let call = CALLS.get_ptr_mut(&bpf_get_current_pid_tgid())?;
    // SAFETY: the entry of this thread.
    if unsafe { (*call).session == 0 || (*call).port != 0 } {
        return None;
    }
    let settings = PROBE_SETTINGS.get(0)?;
    let socket: u64 = context.arg::<*const u8>(0) as u64;
    let port: u16 = memory::kernel(socket + settings.local_port as u64)?;
    // SAFETY: as above.
    unsafe { (*call).port = port as u32 };
    Some(())
}

/// What is remembered of a connection, from its first bytes on.
#[inline(always)]
fn session(key: &SessionKey) -> Option<*mut Session> {
    if let Some(session) = SESSIONS.get_ptr_mut(key) {
        return Some(session);
    }
    SESSIONS.insert(key, BLANK.get(0)?, 0).ok()?;
    SESSIONS.get_ptr_mut(key)
}

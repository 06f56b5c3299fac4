//! Other people's classifiers: Python that loads programs of a few instructions, as no tool of Debian's does.

/// To stand in front of a script: `load(instructions)` loads a program of the type SCHED_CLS, `attach(program, hook)` attaches it to eth0 by a
/// link that lives as long as the script (linux/bpf.h).
pub const CLASSIFIER: &str = "
import ctypes, errno, socket, struct, time
libc = ctypes.CDLL(None, use_errno=True)
BPF, PROG_LOAD, LINK_CREATE, SCHED_CLS, TCX_INGRESS, TCX_EGRESS, TCX_NEXT = 321, 5, 28, 3, 46, 47, -1
def bpf(command, attributes):
    attributes = ctypes.create_string_buffer(attributes.ljust(128, b'\\0'))
    got = libc.syscall(BPF, command, attributes, 128)
    if got < 0:
        raise OSError(ctypes.get_errno(), 'bpf')
    return got
def load(instructions):
    code = b''.join(struct.pack('<BBhi', code, register, 0, immediate) for code, register, immediate in instructions)
    code, licence = ctypes.create_string_buffer(code), ctypes.create_string_buffer(b'GPL')
    return bpf(PROG_LOAD, struct.pack('<IIQQ', SCHED_CLS, len(instructions), ctypes.addressof(code), ctypes.addressof(licence)))
def attach(program, hook):
    return bpf(LINK_CREATE, struct.pack('<IIII', program, socket.if_nametoindex('eth0'), hook, 0))
MOVE, CALL, EXIT = 0xb7, 0x85, (0x95, 0, 0)
";

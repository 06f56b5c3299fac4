//! The name of a driver (SIOCETHTOOL, linux/ethtool.h). sysfs has it as well, but shows the network namespace that it was mounted in.

use std::{ffi::CStr, os::fd::AsRawFd as _};

/// linux/sockios.h
const SIOCETHTOOL: libc::Ioctl = 0x8946;
/// linux/ethtool.h
const ETHTOOL_GDRVINFO: u32 = 3;

/// `struct ethtool_drvinfo`.
#[repr(C)]
struct DriverInfo {
    command: u32,
    driver: [libc::c_char; 32],
    rest: [u8; 160],
}

/// The driver of an interface; `None` if it has none that tells.
pub(in crate::kernel) fn of(interface: &str) -> Option<String> {
    let socket = std::net::UdpSocket::bind(("127.0.0.1", 0)).ok()?;
    let mut info = DriverInfo { command: ETHTOOL_GDRVINFO, driver: [0; 32], rest: [0; 160] };
    // SAFETY: the structure is integers and a union of them, for which zero is valid.
    let mut request: libc::ifreq = unsafe { std::mem::zeroed() };
    let name = interface.as_bytes();
    // One byte is left for the zero at the end.
    if name.len() >= request.ifr_name.len() {
        return None;
    }
    for (place, byte) in request.ifr_name.iter_mut().zip(name) {
        *place = byte.cast_signed();
    }
    request.ifr_ifru.ifru_data = (&raw mut info).cast();
    // SAFETY: the kernel reads the request, and writes at most 196 bytes, the size of `info`, to where it points.
    let result = unsafe { libc::ioctl(socket.as_raw_fd(), SIOCETHTOOL, &raw mut request) };
    if result != 0 {
        return None;
    }
    info.driver[31] = 0;
    let _ = info.rest;
    // SAFETY: the array ends with zero.
    let driver = unsafe { CStr::from_ptr(info.driver.as_ptr()) }.to_string_lossy().into_owned();
    Some(driver).filter(|driver| !driver.is_empty())
}

const _: () = assert!(size_of::<DriverInfo>() == 196);

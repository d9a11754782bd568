//! The first process of the emulated machine: runs the test binary, says how it ended, and turns
//! the machine off. Bochs is off when it has read "Shutdown" at its port 0x8900.

use std::arch::asm;
use std::ffi::c_int;
use std::process::Command;

unsafe extern "C" {
    fn iopl(level: c_int) -> c_int;
    fn tcdrain(fd: c_int) -> c_int;
}

fn main() {
    // The kernel handed on what it did not know of its command line: variables and arguments.
    let ended = Command::new("/test").args(std::env::args_os().skip(1)).status();
    let code = match &ended {
        Ok(status) => status.code(),
        Err(_) => None,
    };
    match code {
        Some(code) => println!("\nemulated: exit code {code}"),
        None => println!("\nemulated: {ended:?}"),
    }
    // SAFETY: Writing to the port ends the machine and has no other effect; all is printed.
    unsafe {
        tcdrain(1);
        assert_eq!(iopl(3), 0, "the first process may write to ports");
        for letter in *b"Shutdown" {
            asm!("out dx, al", in("dx") 0x8900_u16, in("al") letter);
        }
    }
    unreachable!("the machine is off");
}

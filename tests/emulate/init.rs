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
    // The kernel hands on what it does not know of its command line: variables, then words, of which
    // the test's are those from its name on.
    let mut words = std::env::args_os().skip_while(|word| word != "/test");
    let test = words.next().expect("the kernel's command line ends with the test's");
    let ended = Command::new(test).args(words).status();
    let code = ended.as_ref().ok().and_then(|status| status.code());
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

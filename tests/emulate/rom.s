# The emulated machine's firmware: no BIOS, just the way from reset into a Linux kernel that already
# lies in memory. Linux's 32-bit boot protocol wants flat segments 0x10 and 0x18, esi pointing to the
# boot parameters, and a jump to the kernel's start.

    .equ PARAMETERS, 0x90000
    .equ KERNEL, 0x100000

    .code16
    .globl _start
_start:
    cli
    lgdtl %cs:(segments_end - _start)
    movl %cr0, %eax
    orb $1, %al
    movl %eax, %cr0
    ljmpl $0x10, $0xffff0000 + (flat - _start)

    .code32
flat:
    movl $0x18, %eax
    movl %eax, %ds
    movl %eax, %es
    movl %eax, %fs
    movl %eax, %gs
    movl %eax, %ss
    movl $PARAMETERS, %esi
    movl $PARAMETERS, %esp
    xorl %ebx, %ebx
    xorl %ebp, %ebp
    xorl %edi, %edi
    movl $KERNEL, %eax
    jmp *%eax

    .balign 8
segments:
    .quad 0, 0
    .quad 0x00cf9a000000ffff        # 0x10: code
    .quad 0x00cf92000000ffff        # 0x18: data
segments_end:
    .word segments_end - segments - 1
    .long 0xffff0000 + (segments - _start)

    .org 0xfff0                     # where the CPU starts
    .code16
    jmp _start
    .org 0x10000

/*
 * The built-in guest, for machines without anything to boot: a console on COM1 with a few commands.
 *
 * gcc -m32 -c guest.S -o guest.o; ld -m elf_i386 -Ttext=0x100000 -o guest.elf guest.o;
 * objcopy -O binary -j .text guest.elf guest.bin
 *
 * Everything happens in interrupt handlers; the main loop halts with interrupts on, so that an
 * idle machine costs nothing.
 */
        .set MAGIC, 0x1BADB002
        .set FLAGS, 0x00010000          /* the address fields below are valid */
        .set COM1, 0x3F8
        .set IDE, 0x1F0
        .set PM1_STS, 0x600
        .set PM1_EN, 0x602
        .set PM1_CNT, 0x604
        .set LINE_MAX, 128
        .set BAR_WIDTH, 20
        .set FRAMEBUFFER, 0xE0000000

        .text
        .code32
        .globl _start
header:
        .long MAGIC
        .long FLAGS
        .long -(MAGIC + FLAGS)
        .long header                    /* header_addr */
        .long header                    /* load_addr */
        .long image_end                 /* load_end_addr */
        .long bss_end                   /* bss_end_addr */
        .long _start                    /* entry_addr */

_start:
        cli
        cld
        movl    $stack_top, %esp
        lgdt    gdt_pointer
        ljmp    $0x08, $1f
1:      movw    $0x10, %ax
        movw    %ax, %ds
        movw    %ax, %es
        movw    %ax, %fs
        movw    %ax, %gs
        movw    %ax, %ss

        movl    $bss_start, %edi
        movl    $(bss_end - bss_start), %ecx
        xorl    %eax, %eax
        rep stosb

        /* An interrupt gate for every vector, then the three that have a handler. */
        movl    $idt, %edi
        movl    $256, %ecx
        movl    $unexpected, %edx
2:      call    set_gate
        loop    2b
        movl    $(idt + 0x21 * 8), %edi
        movl    $on_keyboard, %edx
        call    set_gate
        movl    $(idt + 0x24 * 8), %edi
        movl    $on_serial, %edx
        call    set_gate
        movl    $(idt + 0x29 * 8), %edi
        movl    $on_power_button, %edx
        call    set_gate
        lidt    idt_pointer

        /* Interrupt controllers: IRQ 0 at vector 0x20; keyboard, COM1, the cascade and IRQ 9 let through. */
        movb    $0x11, %al
        outb    %al, $0x20
        outb    %al, $0xA0
        movb    $0x20, %al
        outb    %al, $0x21
        movb    $0x28, %al
        outb    %al, $0xA1
        movb    $0x04, %al
        outb    %al, $0x21
        movb    $0x02, %al
        outb    %al, $0xA1
        movb    $0x01, %al
        outb    %al, $0x21
        outb    %al, $0xA1
        movb    $0xE9, %al
        outb    %al, $0x21
        movb    $0xFD, %al
        outb    %al, $0xA1

        /* COM1: 115200 8n1, FIFO on, interrupt on receive. */
        movw    $(COM1 + 3), %dx
        movb    $0x80, %al
        outb    %al, %dx
        movw    $COM1, %dx
        movb    $1, %al
        outb    %al, %dx
        movw    $(COM1 + 1), %dx
        movb    $0, %al
        outb    %al, %dx
        movw    $(COM1 + 3), %dx
        movb    $3, %al
        outb    %al, %dx
        movw    $(COM1 + 2), %dx
        movb    $1, %al
        outb    %al, %dx
        movw    $(COM1 + 4), %dx
        movb    $0x0B, %al
        outb    %al, %dx
        movw    $(COM1 + 1), %dx
        movb    $1, %al
        outb    %al, %dx

        movw    $PM1_EN, %dx
        movw    $0x100, %ax
        outw    %ax, %dx

        movb    $0xF4, %al              /* keyboard: start to scan */
        outb    %al, $0x60

        call    draw

        movl    $ready, %esi
        call    print
        sti
idle:   hlt
        jmp     idle

/* edi: gate, edx: handler; moves edi to the next gate */
set_gate:
        movl    %edx, %eax
        movw    %ax, (%edi)
        movw    $0x08, 2(%edi)
        movw    $0x8E00, 4(%edi)
        shrl    $16, %eax
        movw    %ax, 6(%edi)
        addl    $8, %edi
        ret

unexpected:
        movl    $unexpected_text, %esi
        call    print
halt:   cli
        hlt
        jmp     halt

/* 160 x 100 in 32 bits, by the Bochs VBE registers, filled with eight vertical bars. */
draw:
        movl    $vbe_mode, %esi
        movl    $((vbe_mode_end - vbe_mode) / 4), %ecx
1:      lodsw
        movw    $0x1CE, %dx
        outw    %ax, %dx
        lodsw
        movw    $0x1CF, %dx
        outw    %ax, %dx
        loop    1b
        movl    $FRAMEBUFFER, %edi
        movl    $100, %edx
2:      movl    $colours, %esi
        movl    $8, %ebx
3:      lodsl
        movl    $BAR_WIDTH, %ecx
        rep stosl
        decl    %ebx
        jnz     3b
        decl    %edx
        jnz     2b
        ret

on_power_button:
        pushal
        movw    $PM1_STS, %dx
        inw     %dx, %ax
        testw   $0x100, %ax
        jz      2f
        movw    $0x100, %ax
        outw    %ax, %dx
        cmpb    $0, stays_on
        je      power_off
        movl    $not_now, %esi
        call    print
2:      movb    $0x20, %al
        outb    %al, $0xA0
        outb    %al, $0x20
        popal
        iret

power_off:
        movl    $powering_off, %esi
        call    print
        movw    $PM1_CNT, %dx
        movw    $0x2000, %ax
        outw    %ax, %dx
        jmp     halt

on_keyboard:
        pushal
        inb     $0x60, %al
        testb   $0x80, %al
        jnz     1f
        movl    $key_text, %esi
        call    print_value
1:      movb    $0x20, %al
        outb    %al, $0x20
        popal
        iret

#include "guest-serial.S"
#include "guest-virtio.S"

ready:          .asciz  "awaitvm guest ready\r\n"
powering_off:   .asciz  "powering off\r\n"
not_now:        .asciz  "not now\r\n"
unexpected_text: .asciz "unexpected interrupt\r\n"
unknown:        .asciz  "?\r\n"
newline:        .asciz  "\r\n"
lines_text:     .asciz  "lines "
key_text:       .asciz  "key "
disk_text:      .asciz  "disk "
no_disk_text:   .asciz  "no disk\r\n"
help_text:
        .ascii  "help count off reboot halt fault deaf slow write XX read\r\n"
        .byte   0

help_name:      .asciz  "help"
count_name:     .asciz  "count"
off_name:       .asciz  "off"
reboot_name:    .asciz  "reboot"
halt_name:      .asciz  "halt"
fault_name:     .asciz  "fault"
deaf_name:      .asciz  "deaf"
slow_name:      .asciz  "slow"
read_name:      .asciz  "read"

        .balign 8
commands:
        .long   help_name, help
        .long   count_name, count
        .long   off_name, power_off
        .long   reboot_name, reboot
        .long   halt_name, halt
        .long   fault_name, fault
        .long   deaf_name, deaf
        .long   slow_name, slow
        .long   read_name, read
        .long   0

colours:
        .long   0xFFFFFF, 0xFFFF00, 0x00FFFF, 0x00FF00, 0xFF00FF, 0xFF0000, 0x0000FF, 0x000000

/* Bochs VBE: register, value */
vbe_mode:
        .word   4, 0
        .word   1, 160
        .word   2, 100
        .word   3, 32
        .word   4, 0xC1             /* enabled, linear, not cleared: every pixel is drawn anyway */
vbe_mode_end:

        .balign 8
gdt:
        .quad   0
        .quad   0x00CF9A000000FFFF
        .quad   0x00CF92000000FFFF
gdt_pointer:
        .word   23
        .long   gdt
idt_pointer:
        .word   256 * 8 - 1
        .long   idt
no_idt:
        .word   0
        .long   0
        .balign 4
image_end:

        .set    bss_start, image_end
        .set    idt, bss_start
        .set    line, idt + 256 * 8
        .set    length, line + LINE_MAX + 8
        .set    lines, length + 4
        .set    stays_on, lines + 4
        .set    stack_top, stays_on + 4 + 4096
        .set    bss_end, stack_top

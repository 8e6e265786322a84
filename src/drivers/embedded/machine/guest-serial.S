/* The serial console of guest.S: the commands, the disk that they use, and what is printed. */

on_serial:
        pushal
1:      movw    $(COM1 + 5), %dx
        inb     %dx, %al
        testb   $1, %al
        jz      2f
        movw    $COM1, %dx
        inb     %dx, %al
        call    receive
        jmp     1b
2:      movb    $0x20, %al
        outb    %al, $0x20
        popal
        iret

/* al: a byte from the serial port */
receive:
        cmpb    $13, %al
        je      end_of_line
        cmpb    $10, %al
        je      end_of_line
        outb    %al, %dx
        movl    length, %ecx
        cmpl    $LINE_MAX, %ecx
        jae     1f
        movb    %al, line(%ecx)
        incl    length
1:      ret

end_of_line:
        movl    $newline, %esi
        call    print
        incl    lines
        movl    length, %ecx
        movb    $0, line(%ecx)
        movl    $0, length
        movl    $commands, %ebx
1:      movl    (%ebx), %edi
        testl   %edi, %edi
        jz      3f
        movl    $line, %esi
2:      movb    (%edi), %al
        cmpb    (%esi), %al
        jne     4f
        incl    %esi
        incl    %edi
        testb   %al, %al
        jnz     2b
        jmp     *4(%ebx)
4:      addl    $8, %ebx
        jmp     1b
3:      cmpl    $0x74697277, line       /* "writ" */
        jne     5f
        cmpw    $0x2065, line + 4       /* "e " */
        je      write
5:      cmpb    $0, line
        je      6f
        movl    $unknown, %esi
        call    print
6:      ret

help:
        movl    $help_text, %esi
        jmp     print
count:
        movl    $lines_text, %esi
        call    print
        movl    lines, %eax
        call    print_decimal
        movl    $newline, %esi
        jmp     print
reboot:
        movb    $0xFE, %al
        outb    %al, $0x64
        jmp     halt
fault:
        lidt    no_idt
        ud2
deaf:
        movw    $PM1_EN, %dx
        xorw    %ax, %ax
        outw    %ax, %dx
        ret
slow:
        movb    $1, stays_on
        ret

/* "write XX": fills sector 1 of the first disk with the byte XX */
write:
        movb    line + 6, %al
        call    hex_digit
        jc      bad_number
        movb    %al, %bl
        shlb    $4, %bl
        movb    line + 7, %al
        call    hex_digit
        jc      bad_number
        orb     %al, %bl
        cmpb    $0, line + 8
        jne     bad_number
        movb    $0x30, %al
        call    disk_command
        jc      write_virtio
        movb    %bl, %al
        movb    %bl, %ah
        movl    $256, %ecx
        movw    $IDE, %dx
1:      outw    %ax, %dx
        loop    1b
        movb    $0xE7, %al              /* flush */
        movw    $(IDE + 7), %dx
        outb    %al, %dx
        call    disk_wait
print_disk:
        movb    %bl, %al
        movl    $disk_text, %esi
        jmp     print_value

write_virtio:
        movb    %bl, %al
        movl    $DATA, %edi
        movl    $512, %ecx
        rep stosb
        movb    $1, %al
        call    virtio_transfer
        jnc     print_disk
        jmp     no_disk

bad_number:
        movl    $unknown, %esi
        jmp     print

read:
        movb    $0x20, %al
        call    disk_command
        jc      read_virtio
        movw    $IDE, %dx
        inw     %dx, %ax
        movb    %al, %bl
        movl    $255, %ecx
1:      inw     %dx, %ax
        loop    1b
        jmp     print_disk

read_virtio:
        movb    $0, %al
        call    virtio_transfer
        movb    DATA, %bl
        jnc     print_disk

no_disk:
        movl    $no_disk_text, %esi
        jmp     print

/* al: command for sector 1 of the primary master; carry is set if there is no disk */
disk_command:
        movb    %al, %bh
        movw    $(IDE + 6), %dx
        movb    $0xE0, %al
        outb    %al, %dx
        movw    $(IDE + 7), %dx
        inb     %dx, %al
        testb   $0x40, %al
        jz      1f
        cmpb    $0xFF, %al
        je      1f
        movw    $(IDE + 2), %dx
        movb    $1, %al
        outb    %al, %dx
        incw    %dx
        outb    %al, %dx
        incw    %dx
        xorb    %al, %al
        outb    %al, %dx
        incw    %dx
        outb    %al, %dx
        movw    $(IDE + 7), %dx
        movb    %bh, %al
        outb    %al, %dx
        call    disk_wait
        testb   $0x08, %al
        jz      1f
        clc
        ret
1:      stc
        ret

disk_wait:
        movl    $1000000, %ecx
        movw    $(IDE + 7), %dx
1:      inb     %dx, %al
        testb   $0x80, %al
        jz      2f
        loop    1b
2:      ret

/* al: a digit, becomes its value; carry is set if it is not a digit */
hex_digit:
        subb    $'0', %al
        cmpb    $10, %al
        jb      1f
        orb     $0x20, %al
        subb    $('a' - '0'), %al
        cmpb    $6, %al
        jae     2f
        addb    $10, %al
1:      clc
        ret
2:      stc
        ret

/* esi: zero-terminated text */
print:
        movw    $COM1, %dx
1:      lodsb
        testb   %al, %al
        jz      2f
        outb    %al, %dx
        jmp     1b
2:      ret

/* esi: text, al: byte to print after it, then a new line */
print_value:
        movb    %al, %bl
        call    print
        movb    %bl, %al
        shrb    $4, %al
        call    print_digit
        movb    %bl, %al
        andb    $15, %al
        call    print_digit
        movl    $newline, %esi
        jmp     print

print_digit:
        cmpb    $10, %al
        jb      1f
        addb    $('A' - '0' - 10), %al
1:      addb    $'0', %al
        movw    $COM1, %dx
        outb    %al, %dx
        ret

/* eax: number */
print_decimal:
        xorl    %edx, %edx
        movl    $10, %ecx
        divl    %ecx
        pushl   %edx
        testl   %eax, %eax
        jz      1f
        call    print_decimal
1:      popl    %eax
        jmp     print_digit

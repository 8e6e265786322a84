/*
 * The first virtio disk, for machines without an IDE disk: by the registers of a legacy PCI device
 * (virtio 1.1, section 4.1.4.8), which is reset after each request.
 */
        .set VIRTIO_DISK, 0x10011AF4    /* device and vendor */
        .set QUEUE, 0x200000
        .set REQUEST, 0x210000          /* type, reserved, sector */
        .set RESULT, 0x210010
        .set DATA, 0x210200

/* al: 0 reads sector 1 into DATA, 1 writes it from there; carry is set if there is no disk */
virtio_transfer:
        pushal
        movzbl  %al, %eax
        movl    %eax, REQUEST
        movl    $0, REQUEST + 4
        movl    $1, REQUEST + 8
        movl    $0, REQUEST + 12
        movb    $0xFF, RESULT

        movl    $0x80000000, %ebx       /* bus 0, device 0, its first register */
1:      call    pci_select
        inl     %dx, %eax
        cmpl    $VIRTIO_DISK, %eax
        je      2f
        addl    $0x800, %ebx
        cmpl    $0x80080000, %ebx       /* eight buses */
        jb      1b
        jmp     9f
2:      addl    $4, %ebx                /* answers, and may use memory */
        call    pci_select
        inl     %dx, %eax
        orl     $7, %eax
        outl    %eax, %dx
        addl    $12, %ebx
        call    pci_select
        inl     %dx, %eax
        andl    $0xFFFC, %eax           /* 0: it was plugged later, and has no ports */
        jz      9f
        movl    %eax, %ebx

        leal    18(%ebx), %edx          /* reset, seen, has a driver */
        movb    $0, %al
        outb    %al, %dx
        movb    $1, %al
        outb    %al, %dx
        movb    $3, %al
        outb    %al, %dx
        leal    4(%ebx), %edx           /* no features: what is written is on the disk */
        xorl    %eax, %eax
        outl    %eax, %dx
        leal    14(%ebx), %edx
        outw    %ax, %dx
        leal    12(%ebx), %edx
        inw     %dx, %ax                /* the number of descriptors */
        movl    %eax, %ebp
        shll    $4, %ebp                /* ebp: what is available, behind them */
        leal    4101(%ebp,%eax,2), %esi
        andl    $0xFFFFF000, %esi       /* esi: what is used, in the next page */
        leal    4096(%esi), %ecx
        movl    $QUEUE, %edi
        xorl    %eax, %eax
        rep stosb

        movl    $REQUEST, QUEUE
        movl    $16, QUEUE + 8
        movl    $0x10001, QUEUE + 12    /* 1 follows */
        movl    $DATA, QUEUE + 16
        movl    $512, QUEUE + 24
        movl    $0x20001, QUEUE + 28    /* 2 follows */
        cmpb    $0, REQUEST
        jne     3f
        orl     $2, QUEUE + 28          /* the device writes it */
3:      movl    $RESULT, QUEUE + 32
        movl    $1, QUEUE + 40
        movl    $2, QUEUE + 44
        movl    $0x10001, QUEUE(%ebp)   /* one is available, without an interrupt */

        leal    8(%ebx), %edx
        movl    $(QUEUE / 4096), %eax
        outl    %eax, %dx
        leal    18(%ebx), %edx
        movb    $7, %al
        outb    %al, %dx
        leal    16(%ebx), %edx
        xorl    %eax, %eax
        outw    %ax, %dx
        leal    19(%ebx), %edx
4:      inb     %dx, %al
        cmpw    $0, QUEUE + 2(%esi)
        je      4b
        decl    %edx
        movb    $0, %al
        outb    %al, %dx
        cmpb    $0, RESULT
        jne     9f
        popal
        clc
        ret
9:      popal
        stc
        ret

/* ebx: a register of a PCI device; dx becomes the port of its value */
pci_select:
        movl    %ebx, %eax
        movw    $0xCF8, %dx
        outl    %eax, %dx
        movw    $0xCFC, %dx
        ret

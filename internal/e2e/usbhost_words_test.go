//go:build linux

package e2e

// kernelAnswers are those of f_mass_storage of Linux 6.1 at super speed, with
// stall=1. Case 11 is a bug of its own: with blocks of 512 bytes and packets of
// 1024 it loses what follows, and the CSW never comes.
var kernelAnswers = answers(`
device: speed=super packet=1024 subclass=06
GET MAX LUN: ok, 1 bytes, 1
GET MAX LUN, wValue 1: stall
reset, wValue 1: stall
unknown class request: stall
1 Hn=Dn: data=0 halt=none csw=0 residue=0 sense=-
2 Hn<Di: data=0 halt=none csw=2 residue=0 sense=-
3 Hn<Do: data=0 halt=none csw=2 residue=0 sense=-
4 Hi>Dn: data=0 halt=csw csw=0 residue=512 sense=-
5 Hi>Di, short packet: data=36 halt=csw csw=0 residue=476 sense=-
5 Hi>Di, full packets: data=2048 halt=csw csw=0 residue=2048 sense=-
5 Hi>Di by one: data=2048 halt=csw csw=0 residue=1 sense=-
6 Hi=Di: data=4096 halt=none csw=0 residue=0 sense=-
6 Hi=Di, 64 blocks: data=131072 halt=none csw=0 residue=0 sense=-
7 Hi<Di: data=2048 halt=none csw=2 residue=0 sense=-
7 Hi<Di, odd: data=100 halt=none csw=2 residue=0 sense=-
7 Hi<Di, INQUIRY: data=8 halt=none csw=2 residue=0 sense=-
8 Hi<>Do: data=0 halt=csw csw=2 residue=512 sense=-
9 Ho>Dn: data=0 halt=none csw=0 residue=512 sense=-
10 Ho<>Di: data=0 halt=none csw=2 residue=2048 sense=-
11 Ho>Do: data=0 halt=none csw=none, timeout residue=0 sense=after recovery csw=0
12 Ho=Do: data=0 halt=none csw=0 residue=0 sense=-
13 Ho<Do: data=0 halt=none csw=2 residue=0 sense=-
unknown command, in: data=0 halt=csw csw=1 residue=512 sense=5/20/00
unknown command, out: data=0 halt=none csw=1 residue=512 sense=5/20/00
unknown command: data=0 halt=none csw=1 residue=0 sense=5/20/00
LBA out of range: data=0 halt=csw csw=1 residue=2048 sense=5/21/00
write to a disc: data=0 halt=none csw=1 residue=2048 sense=7/27/00
sense by unit: csw=1 other=0 sense=5/20/00 other=0/00/00
invalid CBW, signature: sent=ok csw=stall; cleared: csw=stall; cleared: CBW=ok csw=stall; reset: csw=0
invalid CBW, 30 bytes: sent=ok csw=stall; cleared: csw=stall; cleared: CBW=ok csw=stall; reset: csw=0
invalid CBW, 32 bytes: sent=ok csw=stall; cleared: csw=stall; cleared: CBW=ok csw=stall; reset: csw=0
invalid CBW, 512 bytes: sent=ok csw=stall; cleared: csw=stall; cleared: CBW=ok csw=stall; reset: csw=0
invalid CBW, zero-length packet: sent=ok csw=stall; cleared: csw=stall; cleared: CBW=ok csw=stall; reset: csw=0
CBW not meaningful, no command block: sent=ok csw=stall; cleared: csw=0
CBW not meaningful, command block of 17 bytes: sent=ok csw=stall; cleared: csw=0
CBW not meaningful, reserved bit of the LUN: sent=ok csw=stall; cleared: csw=0
CBW not meaningful, reserved bit of the flags: sent=ok csw=stall; cleared: csw=0
CBW not meaningful, absent LUN: sent=ok csw=13 bytes; cleared: csw=0
class reset before data-in: csw=0; read: data=131072 halt=none csw=0 residue=0 same=true
class reset in data-in: csw=0; read: data=131072 halt=none csw=0 residue=0 same=true
class reset before the CSW: csw=0; read: data=131072 halt=none csw=0 residue=0 same=true
class reset before data-out: csw=0; read: data=131072 halt=none csw=0 residue=0 same=true
class reset in data-out: csw=0; read: data=131072 halt=none csw=0 residue=0 same=true
port reset before data-in: csw=0; read: data=131072 halt=none csw=0 residue=0 same=true
port reset in data-in: csw=0; read: data=131072 halt=none csw=0 residue=0 same=true
port reset before the CSW: csw=0; read: data=131072 halt=none csw=0 residue=0 same=true
port reset before data-out: csw=0; read: data=131072 halt=none csw=0 residue=0 same=true
port reset in data-out: csw=0; read: data=131072 halt=none csw=0 residue=0 same=true
SET FEATURE halt IN: status=1 met=stall; cleared: csw=0
SET FEATURE halt OUT: status=1 met=stall; cleared: csw=0
end: ok`)

// kernelNoStall is what stall=0 changes.
var kernelNoStall = answers(`
4 Hi>Dn: data=0 halt=none csw=0 residue=512 sense=-
5 Hi>Di, short packet: data=36 halt=none csw=0 residue=476 sense=-
5 Hi>Di, full packets: data=2048 halt=none csw=0 residue=2048 sense=-
5 Hi>Di by one: data=2048 halt=none csw=0 residue=1 sense=-
8 Hi<>Do: data=0 halt=none csw=2 residue=512 sense=-
unknown command, in: data=0 halt=none csw=1 residue=512 sense=5/20/00
LBA out of range: data=0 halt=none csw=1 residue=2048 sense=5/21/00
CBW not meaningful, no command block: sent=ok csw=timeout; cleared: csw=0
CBW not meaningful, command block of 17 bytes: sent=ok csw=timeout; cleared: csw=0
CBW not meaningful, reserved bit of the LUN: sent=ok csw=timeout; cleared: csw=0
CBW not meaningful, reserved bit of the flags: sent=ok csw=timeout; cleared: csw=0`)

// spindleAnswers are those of our drive, which ends short data by an empty
// packet. It halts OUT too after an invalid CBW, and its data-out is MODE
// SELECT, which fails where the host gives no list, or a part of one.
var spindleAnswers = answers(`
device: speed=super packet=1024 subclass=06
GET MAX LUN: ok, 1 bytes, 1
GET MAX LUN, wValue 1: stall
reset, wValue 1: stall
unknown class request: stall
1 Hn=Dn: data=0 halt=none csw=0 residue=0 sense=-
2 Hn<Di: data=0 halt=none csw=2 residue=0 sense=-
3 Hn<Do: data=0 halt=none csw=1 residue=0 sense=5/1A/00
4 Hi>Dn: data=0 halt=none csw=0 residue=512 sense=-
5 Hi>Di, short packet: data=36 halt=none csw=0 residue=476 sense=-
5 Hi>Di, full packets: data=2048 halt=none csw=0 residue=2048 sense=-
5 Hi>Di by one: data=2048 halt=none csw=0 residue=1 sense=-
6 Hi=Di: data=4096 halt=none csw=0 residue=0 sense=-
6 Hi=Di, 64 blocks: data=131072 halt=none csw=0 residue=0 sense=-
7 Hi<Di: data=2048 halt=none csw=2 residue=0 sense=-
7 Hi<Di, odd: data=100 halt=none csw=2 residue=0 sense=-
7 Hi<Di, INQUIRY: data=8 halt=none csw=2 residue=0 sense=-
8 Hi<>Do: data=0 halt=none csw=1 residue=512 sense=5/1A/00
9 Ho>Dn: data=0 halt=none csw=0 residue=512 sense=-
10 Ho<>Di: data=0 halt=none csw=2 residue=2048 sense=-
11 Ho>Do: data=0 halt=none csw=0 residue=2040 sense=-
12 Ho=Do: data=0 halt=none csw=0 residue=0 sense=-
13 Ho<Do: data=0 halt=none csw=1 residue=0 sense=5/1A/00
unknown command, in: data=0 halt=none csw=1 residue=512 sense=5/20/00
unknown command, out: data=0 halt=none csw=1 residue=512 sense=5/20/00
unknown command: data=0 halt=none csw=1 residue=0 sense=5/20/00
LBA out of range: data=0 halt=none csw=1 residue=2048 sense=5/21/00
write to a disc: data=0 halt=none csw=1 residue=2048 sense=5/20/00
sense by unit: csw=1 other=0 sense=5/20/00 other=0/00/00
invalid CBW, signature: sent=ok csw=stall; cleared: csw=stall; cleared: CBW=stall csw=stall; reset: csw=0
invalid CBW, 30 bytes: sent=ok csw=stall; cleared: csw=stall; cleared: CBW=stall csw=stall; reset: csw=0
invalid CBW, 32 bytes: sent=ok csw=stall; cleared: csw=stall; cleared: CBW=stall csw=stall; reset: csw=0
invalid CBW, 512 bytes: sent=ok csw=stall; cleared: csw=stall; cleared: CBW=stall csw=stall; reset: csw=0
invalid CBW, zero-length packet: sent=ok csw=stall; cleared: csw=stall; cleared: CBW=stall csw=stall; reset: csw=0
CBW not meaningful, no command block: sent=ok csw=stall; cleared: csw=0
CBW not meaningful, command block of 17 bytes: sent=ok csw=stall; cleared: csw=0
CBW not meaningful, reserved bit of the LUN: sent=ok csw=stall; cleared: csw=0
CBW not meaningful, reserved bit of the flags: sent=ok csw=stall; cleared: csw=0
CBW not meaningful, absent LUN: sent=ok csw=stall; cleared: csw=0
class reset before data-in: csw=0; read: data=131072 halt=none csw=0 residue=0 same=true
class reset in data-in: csw=0; read: data=131072 halt=none csw=0 residue=0 same=true
class reset before the CSW: csw=0; read: data=131072 halt=none csw=0 residue=0 same=true
class reset before data-out: csw=0; read: data=131072 halt=none csw=0 residue=0 same=true
class reset in data-out: csw=0; read: data=131072 halt=none csw=0 residue=0 same=true
port reset before data-in: csw=0; read: data=131072 halt=none csw=0 residue=0 same=true
port reset in data-in: csw=0; read: data=131072 halt=none csw=0 residue=0 same=true
port reset before the CSW: csw=0; read: data=131072 halt=none csw=0 residue=0 same=true
port reset before data-out: csw=0; read: data=131072 halt=none csw=0 residue=0 same=true
port reset in data-out: csw=0; read: data=131072 halt=none csw=0 residue=0 same=true
SET FEATURE halt IN: status=1 met=stall; cleared: csw=0
SET FEATURE halt OUT: status=1 met=stall; cleared: csw=0
end: ok`)

// spindleStall is what the option Stall changes. Of a transfer that a stall ends
// usbfs does not say how much came.
var spindleStall = answers(`
4 Hi>Dn: data=0 halt=data csw=0 residue=512 sense=-
5 Hi>Di, short packet: data=36 halt=csw csw=0 residue=476 sense=-
5 Hi>Di, full packets: data=0 halt=data csw=0 residue=2048 sense=-
5 Hi>Di by one: data=0 halt=data csw=0 residue=1 sense=-
8 Hi<>Do: data=0 halt=data csw=1 residue=512 sense=5/1A/00
unknown command, in: data=0 halt=data csw=1 residue=512 sense=5/20/00
LBA out of range: data=0 halt=data csw=1 residue=2048 sense=5/21/00`)

// Package pcapng writes what two programs said to each other over TCP as a
// capture file (pcapng) for Wireshark and the like, when only what they said is
// at hand: Ethernet, IP and TCP headers are made up. Addresses, ports, times and
// the order are real; sequence numbers count from 1 in each direction.
package pcapng

import (
	"bufio"
	"io"
	"net"
	"net/netip"
	"time"

	"github.com/gopacket/gopacket"
	"github.com/gopacket/gopacket/layers"
	"github.com/gopacket/gopacket/pcapgo"
)

// maxSegment is how many bytes a packet carries at most: an IP packet holds less
// than 64 KiB, its headers with it.
const maxSegment = 60 << 10

// Options describe a capture.
type Options struct {
	Client, Server netip.AddrPort
	Program        string // that captured
	Comment        string // of the file
}

// A Writer writes one TCP connection. It is not for more than one goroutine at
// once. What was written up to a Flush is a readable file.
type Writer struct {
	ng   *pcapgo.NgWriter
	out  *bufio.Writer // below ng, whose own buffer is small
	o    Options
	next [2]uint32 // sequence number of the next byte, of the client and of the server
	buf  gopacket.SerializeBuffer
	sent uint64
}

// The ends of a connection, as indexes.
const (
	client = iota
	server
)

// windowShift is the window scale of both ends: 64 KiB << 10 are never full.
const windowShift = 10

// New writes the head of a file and returns a writer of what follows.
func New(w io.Writer, o Options) (*Writer, error) {
	out := bufio.NewWriterSize(w, 2*maxSegment)
	ng, err := pcapgo.NewNgWriterInterface(out, pcapgo.NgInterface{
		Name: "spindle", Description: "one session, with made-up Ethernet, IP and TCP headers", LinkType: layers.LinkTypeEthernet,
	}, pcapgo.NgWriterOptions{SectionInfo: pcapgo.NgSectionInfo{Application: o.Program, Comment: o.Comment}})
	return &Writer{ng: ng, out: out, o: o, buf: gopacket.NewSerializeBuffer()}, err
}

// Flush hands all that was written to the writer below.
func (w *Writer) Flush() error {
	if err := w.ng.Flush(); err != nil {
		return err
	}
	return w.out.Flush()
}

// Open writes the handshake of the connection.
func (w *Writer) Open(at time.Time) error {
	scale := []layers.TCPOption{
		{OptionType: layers.TCPOptionKindWindowScale, OptionLength: 3, OptionData: []byte{windowShift}},
		{OptionType: layers.TCPOptionKindNop},
	}
	for _, p := range []packet{
		{from: client, tcp: layers.TCP{SYN: true, Options: scale}},
		{from: server, tcp: layers.TCP{SYN: true, ACK: true, Options: scale}},
		{from: client, tcp: layers.TCP{ACK: true}},
	} {
		if err := w.write(at, &p); err != nil {
			return err
		}
		if p.tcp.SYN {
			w.next[p.from]++
		}
	}
	return nil
}

// Close writes the end of the connection.
func (w *Writer) Close(at time.Time) error {
	for _, from := range []int{client, server} {
		if err := w.write(at, &packet{from: from, tcp: layers.TCP{FIN: true, ACK: true}}); err != nil {
			return err
		}
		w.next[from]++
	}
	return w.write(at, &packet{from: client, tcp: layers.TCP{ACK: true}})
}

// A Message is what one end said at once.
type Message struct {
	Time       time.Time
	FromServer bool
	Data       []byte // the first bytes of it
	Length     int    // of the whole
	Missed     int64  // bytes that this end said before it and that are not in the file
}

// Write writes a message, in as many packets as it takes. Each begins in a
// packet of its own.
func (w *Writer) Write(m *Message) error {
	from := client
	if m.FromServer {
		from = server
	}
	w.next[from] += uint32(m.Missed)
	data := m.Data
	for left := m.Length; left > 0; {
		n := min(left, maxSegment)
		kept := min(n, len(data))
		p := packet{from: from, length: n, data: data[:kept], tcp: layers.TCP{ACK: true, PSH: n == left}}
		if err := w.write(m.Time, &p); err != nil {
			return err
		}
		w.next[from] += uint32(n)
		data = data[kept:]
		left -= n
	}
	return nil
}

// Lost notes how many packets are not in the file, because they came faster
// than they were written.
func (w *Writer) Lost(at time.Time, n uint64) error {
	return w.ng.WriteInterfaceStats(0, pcapgo.NgInterfaceStatistics{LastUpdate: at, PacketsReceived: w.sent + n, PacketsDropped: n})
}

// A packet is one packet of the connection.
type packet struct {
	from   int
	tcp    layers.TCP
	data   []byte
	length int // of the payload, of which data is the beginning
}

// hardware are the made-up Ethernet addresses, of the range for local use.
var hardware = [2]net.HardwareAddr{{0x02, 0, 0, 0, 0, 1}, {0x02, 0, 0, 0, 0, 2}}

func (w *Writer) write(at time.Time, p *packet) error {
	to := 1 - p.from
	ends := [2]netip.AddrPort{w.o.Client, w.o.Server}
	src, dst := ends[p.from], ends[to]
	tcp := &p.tcp
	tcp.SrcPort, tcp.DstPort = layers.TCPPort(src.Port()), layers.TCPPort(dst.Port())
	tcp.Seq, tcp.Window, tcp.DataOffset = w.next[p.from], 0xFFFF, 5
	if len(tcp.Options) > 0 {
		tcp.DataOffset++
	}
	if tcp.ACK {
		tcp.Ack = w.next[to]
	}
	length := 4*int(tcp.DataOffset) + p.length // of what IP carries
	eth := &layers.Ethernet{SrcMAC: hardware[p.from], DstMAC: hardware[to], EthernetType: layers.EthernetTypeIPv4}
	var ip gopacket.SerializableLayer
	if from, target := src.Addr().Unmap(), dst.Addr().Unmap(); from.Is6() && target.Is6() {
		six := &layers.IPv6{Version: 6, HopLimit: 64, NextHeader: layers.IPProtocolTCP, Length: uint16(length), SrcIP: from.AsSlice(), DstIP: target.AsSlice()}
		eth.EthernetType = layers.EthernetTypeIPv6
		length += 40
		_ = tcp.SetNetworkLayerForChecksum(six)
		ip = six
	} else {
		length += 20
		four := &layers.IPv4{
			Version: 4, IHL: 5, TTL: 64, Protocol: layers.IPProtocolTCP, Flags: layers.IPv4DontFragment,
			Length: uint16(length), SrcIP: ip4(from), DstIP: ip4(target),
		}
		_ = tcp.SetNetworkLayerForChecksum(four)
		ip = four
	}
	// lengths are ours: they count what is not kept of the payload, too
	if err := gopacket.SerializeLayers(w.buf, gopacket.SerializeOptions{ComputeChecksums: true}, eth, ip, tcp, gopacket.Payload(p.data)); err != nil {
		return err
	}
	w.sent++
	b := w.buf.Bytes()
	return w.ng.WritePacket(gopacket.CaptureInfo{Timestamp: at, CaptureLength: len(b), Length: max(len(b), 14+length)}, b)
}

// ip4 is an address as four bytes; what is none is 0.0.0.0.
func ip4(a netip.Addr) net.IP {
	if !a.Is4() {
		return net.IPv4zero.To4()
	}
	return a.AsSlice()
}

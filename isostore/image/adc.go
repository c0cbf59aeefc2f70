package image

import "fmt"

// unpackADC fills p with data packed by Apple Data Compression, which old DMG
// images have. What follows in b is left alone.
//
//	1nnnnnnn              n+1 bytes follow
//	01nnnnnn dddddddd dddddddd   n+4 bytes from d+1 bytes before
//	00nnnndd dddddddd     n+3 bytes from d+1 bytes before
//
// Source: descriptions of the format; the distances are big-endian.
func unpackADC(p, b []byte) error {
	size, out := len(p), 0
	for out < size {
		if len(b) == 0 {
			return fmt.Errorf("%w: ADC: it ends after %d of %d bytes", ErrDamaged, out, size)
		}
		var head, n, distance int
		switch c := int(b[0]); {
		case c&0x80 != 0:
			head, n = 1, c&0x7F+1
		case c&0x40 != 0 && len(b) >= 3:
			head, n, distance = 3, c&0x3F+4, int(b[1])<<8+int(b[2])+1
		case c&0x40 == 0 && len(b) >= 2:
			head, n, distance = 2, c>>2+3, c&3<<8+int(b[1])+1
		}
		n = min(n, size-out)
		switch {
		case head == 0 || head == 1 && len(b) < 1+n:
			return fmt.Errorf("%w: ADC: it ends after %d of %d bytes", ErrDamaged, out, size)
		case head == 1:
			copy(p[out:], b[1:1+n])
			head += n
		case distance > out:
			return fmt.Errorf("%w: ADC: %d bytes before byte %d", ErrDamaged, distance, out)
		default:
			for i := out; i < out+n; i++ { // what is copied may begin in what it writes
				p[i] = p[i-distance]
			}
		}
		out, b = out+n, b[head:]
	}
	return nil
}

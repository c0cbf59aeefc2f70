package image

import "strings"

// isMCN reports whether text is a media catalogue number.
func isMCN(text string) bool {
	return len(text) == 13 && strings.Trim(text, "0123456789") == ""
}

// isISRC reports whether text is as long as a recording code and of its
// characters.
func isISRC(text string) bool {
	return len(text) == 12 && strings.Trim(text, "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ") == ""
}

// fromBCD is the number of two digits of four bits each.
func fromBCD(b byte) byte { return b>>4*10 + b&0xF }

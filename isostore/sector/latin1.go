package sector

// nearest is what ISO-8859-1 has for characters of typography that it lacks.
var nearest = map[rune]string{
	'\u2010': "-", '\u2011': "-", '\u2012': "-", '\u2013': "-", '\u2014': "-", '\u2015': "-", '\u2212': "-",
	'\u2018': "'", '\u2019': "'", '\u201A': "'", '\u201B': "'", '\u2032': "'", '\u02BC': "'",
	'\u201C': `"`, '\u201D': `"`, '\u201E': `"`, '\u201F': `"`, '\u2033': `"`,
	'\u2039': "<", '\u203A': ">", '\u2044': "/", '\u2022': "\xB7", '\u2026': "...",
	'\u2002': " ", '\u2003': " ", '\u2009': " ", '\u202F': " ",
	'\u200B': "", '\u200E': "", '\u200F': "", '\uFEFF': "",
	'\u0152': "OE", '\u0153': "oe", '\u0178': "Y", '\u1E9E': "SS", '\uFB01': "fi", '\uFB02': "fl",
	'\u20AC': "EUR", '\u2122': "(TM)", '\u2116': "No.",
}

// composed is the character for a letter and the mark after it, as some systems
// write names.
var composed = func() map[[2]rune]byte {
	m := make(map[[2]rune]byte)
	for _, marks := range []struct {
		mark              rune
		letters, together string
	}{
		{'\u0300', "AEIOUaeiou", "ÀÈÌÒÙàèìòù"},
		{'\u0301', "AEIOUYaeiouy", "ÁÉÍÓÚÝáéíóúý"},
		{'\u0302', "AEIOUaeiou", "ÂÊÎÔÛâêîôû"},
		{'\u0303', "ANOano", "ÃÑÕãñõ"},
		{'\u0308', "AEIOUaeiouy", "ÄËÏÖÜäëïöüÿ"},
		{'\u030A', "Aa", "Åå"},
		{'\u0327', "Cc", "Çç"},
	} {
		for i, r := range []rune(marks.together) {
			m[[2]rune{rune(marks.letters[i]), marks.mark}] = byte(r)
		}
	}
	return m
}()

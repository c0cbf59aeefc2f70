package sector

import (
	"fmt"
	"strings"
)

// languages are the codes of CD-TEXT, which are those of EBU Tech 3264, with the tags
// of ISO 639-1 where there are any.
var languages = []struct {
	code      byte
	tag, name string
}{
	{0x01, "SQ", "Albanian"},
	{0x02, "BR", "Breton"},
	{0x03, "CA", "Catalan"},
	{0x04, "HR", "Croatian"},
	{0x05, "CY", "Welsh"},
	{0x06, "CS", "Czech"},
	{0x07, "DA", "Danish"},
	{0x08, "DE", "German"},
	{0x09, "EN", "English"},
	{0x0A, "ES", "Spanish"},
	{0x0B, "EO", "Esperanto"},
	{0x0C, "ET", "Estonian"},
	{0x0D, "EU", "Basque"},
	{0x0E, "FO", "Faroese"},
	{0x0F, "FR", "French"},
	{0x10, "FY", "Frisian"},
	{0x11, "GA", "Irish"},
	{0x12, "GD", "Gaelic"},
	{0x13, "GL", "Galician"},
	{0x14, "IS", "Icelandic"},
	{0x15, "IT", "Italian"},
	{0x16, "SE", "Lappish"},
	{0x17, "LA", "Latin"},
	{0x18, "LV", "Latvian"},
	{0x19, "LB", "Luxembourgian"},
	{0x1A, "LT", "Lithuanian"},
	{0x1B, "HU", "Hungarian"},
	{0x1C, "MT", "Maltese"},
	{0x1D, "NL", "Dutch"},
	{0x1E, "NO", "Norwegian"},
	{0x1F, "OC", "Occitan"},
	{0x20, "PL", "Polish"},
	{0x21, "PT", "Portuguese"},
	{0x22, "RO", "Romanian"},
	{0x23, "RM", "Romansh"},
	{0x24, "SR", "Serbian"},
	{0x25, "SK", "Slovak"},
	{0x26, "SL", "Slovenian"},
	{0x27, "FI", "Finnish"},
	{0x28, "SV", "Swedish"},
	{0x29, "TR", "Turkish"},
	{0x2A, "", "Flemish"},
	{0x2B, "WA", "Walloon"},
	{0x45, "ZU", "Zulu"},
	{0x46, "VI", "Vietnamese"},
	{0x47, "UZ", "Uzbek"},
	{0x48, "UR", "Urdu"},
	{0x49, "UK", "Ukrainian"},
	{0x4A, "TH", "Thai"},
	{0x4B, "TE", "Telugu"},
	{0x4C, "TT", "Tatar"},
	{0x4D, "TA", "Tamil"},
	{0x4E, "TG", "Tajik"},
	{0x4F, "SW", "Swahili"},
	{0x50, "", "Sranan Tongo"},
	{0x51, "SO", "Somali"},
	{0x52, "SI", "Sinhalese"},
	{0x53, "SN", "Shona"},
	{0x54, "SH", "Serbo-Croatian"},
	{0x55, "", "Ruthenian"},
	{0x56, "RU", "Russian"},
	{0x57, "QU", "Quechua"},
	{0x58, "PS", "Pashto"},
	{0x59, "PA", "Punjabi"},
	{0x5A, "FA", "Persian"},
	{0x5B, "", "Papiamento"},
	{0x5C, "OR", "Oriya"},
	{0x5D, "NE", "Nepali"},
	{0x5E, "ND", "Ndebele"},
	{0x5F, "MR", "Marathi"},
	{0x60, "MO", "Moldavian"},
	{0x61, "MS", "Malay"},
	{0x62, "MG", "Malagasy"},
	{0x63, "MK", "Macedonian"},
	{0x64, "LO", "Lao"},
	{0x65, "KO", "Korean"},
	{0x66, "KM", "Khmer"},
	{0x67, "KK", "Kazakh"},
	{0x68, "KN", "Kannada"},
	{0x69, "JA", "Japanese"},
	{0x6A, "ID", "Indonesian"},
	{0x6B, "HI", "Hindi"},
	{0x6C, "HE", "Hebrew"},
	{0x6D, "HA", "Hausa"},
	{0x6E, "GN", "Guarani"},
	{0x6F, "GU", "Gujarati"},
	{0x70, "EL", "Greek"},
	{0x71, "KA", "Georgian"},
	{0x72, "FF", "Fulani"},
	{0x73, "", "Dari"},
	{0x74, "CV", "Chuvash"},
	{0x75, "ZH", "Chinese"},
	{0x76, "MY", "Burmese"},
	{0x77, "BG", "Bulgarian"},
	{0x78, "BN", "Bengali"},
	{0x79, "BE", "Belarusian"},
	{0x7A, "BM", "Bambara"},
	{0x7B, "AZ", "Azerbaijani"},
	{0x7C, "AS", "Assamese"},
	{0x7D, "HY", "Armenian"},
	{0x7E, "AR", "Arabic"},
	{0x7F, "AM", "Amharic"},
}

// LanguageCode returns the code of a language by its tag, "EN", or its English name, in
// any case.
func LanguageCode(name string) (code byte, ok bool) {
	for _, l := range languages {
		if name != "" && (strings.EqualFold(l.tag, name) || strings.EqualFold(l.name, name)) {
			return l.code, true
		}
	}
	return 0, false
}

// LanguageName returns the English name of a language code, or its number where it has
// none.
func LanguageName(code byte) string {
	for _, l := range languages {
		if l.code == code {
			return l.name
		}
	}
	if code == 0 {
		return "unknown language"
	}
	return fmt.Sprintf("language %02Xh", code)
}

// LanguageTag returns the tag of ISO 639-1 for a language code, "EN" for 09h, or "" where
// it has none.
func LanguageTag(code byte) string {
	for _, l := range languages {
		if l.code == code {
			return l.tag
		}
	}
	return ""
}

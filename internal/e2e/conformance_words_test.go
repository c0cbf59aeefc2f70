//go:build linux

package e2e

// conformancePage takes the counts of all, passed and skipped tests, and rows.
const conformancePage = `# Conformance

What libiscsi's test suite (` + "`iscsi-test-cu`" + ` of Debian's libiscsi-bin) says of a spindle drive that
holds a data CD: %d tests, %d passed, %d skipped, none failed. Every test ran in a process of its own, with
` + "`--dataloss`" + ` and, where it tries SANITIZE, ` + "`--allow-sanitize`" + `. Task management and data-out residuals,
which the suite does not reach on a drive that cannot write, are tested with raw PDUs in target/iscsi.

A skipped test found something missing that it needs. The last column says what: a command that the drive does
not have, or a property. Most are right to miss, since MMC does not know them: they belong to disks (SBC).
Tests of SANITIZE that passed saw a bad field refused by PLAY AUDIO TRACK INDEX, which has its operation code.

This page is written by ` + "`go test ./internal/e2e -run Conformance -update`" + `, and the same test without
the flag compares it with a run.

| Test | Result | What it misses |
|---|---|---|
%s`

// missing has a word for each reason that the suite gives for a skip.
var missing = map[string]string{
	"Not SBC device. Skipping test":                                                        "being a disk (SBC)",
	"Logical unit is fully provisioned. Skipping test":                                     "thin provisioning",
	"Logical unit is not write-protected. Skipping test.":                                  "a disk's write protection",
	"PERSISTENT RESERVE IN is not implemented.":                                            "PERSISTENT RESERVE IN",
	"PROUT Not Supported":                                                                  "PERSISTENT RESERVE OUT",
	"RESERVE6 is not implemented on target":                                                "RESERVE(6)",
	"RESERVE6 is not implemented.":                                                         "RESERVE(6)",
	"VERIFY12 is not implemented.":                                                         "VERIFY(12)",
	"VERIFY16 is not implemented.":                                                         "VERIFY(16)",
	"READ16 is not implemented.":                                                           "READ(16)",
	"READ16 is not implemented on this target and it does not claim SBC-3 support.":        "READ(16)",
	"EXTENDEDCOPY is not implemented.":                                                     "EXTENDED COPY",
	"RECEIVECOPYRESULT is not implemented.":                                                "RECEIVE COPY RESULTS",
	"RECEIVE_COPY_RESULTS is not implemented.":                                             "RECEIVE COPY RESULTS",
	"PREFETCH10 is not implemented.":                                                       "PRE-FETCH(10)",
	"PREFETCH16 is not implemented.":                                                       "PRE-FETCH(16)",
	"REPORT_SUPPORTED_OPCODES is not implemented.":                                         "REPORT SUPPORTED OPERATION CODES",
	"WRITE10 is not implemented.":                                                          "WRITE(10)",
	"WRITE12 is not implemented.":                                                          "WRITE(12)",
	"WRITE16 is not implemented.":                                                          "WRITE(16)",
	"WRITEVERIFY10 is not implemented.":                                                    "WRITE AND VERIFY(10)",
	"WRITEVERIFY12 is not implemented.":                                                    "WRITE AND VERIFY(12)",
	"WRITEVERIFY16 is not implemented.":                                                    "WRITE AND VERIFY(16)",
	"GETLBASTATUS is not implemented.":                                                     "GET LBA STATUS",
	"GET_LBA_STATUS is not implemented.":                                                   "GET LBA STATUS",
	"READDEFECTDATA10 is not implemented.":                                                 "READ DEFECT DATA(10)",
	"READDEFECTDATA12 is not implemented.":                                                 "READ DEFECT DATA(12)",
	"SANITIZE is not implemented.":                                                         "SANITIZE",
	"SANITIZE BLOCK_ERASE is not implemented according to REPORT_SUPPORTED_OPCODES.":       "SANITIZE",
	"SANITIZE CRYPTO_ERASE is not implemented according to REPORT_SUPPORTED_OPCODES.":      "SANITIZE",
	"SANITIZE EXIT FAILURE MODE is not implemented according to REPORT_SUPPORTED_OPCODES.": "SANITIZE",
	"SANITIZE OVERWRITE is not implemented according to REPORT_SUPPORTED_OPCODES.":         "SANITIZE",
	"--allow-sanitize flag is not set. Skipping test.":                                     "SANITIZE, and a disk's software write protection",
}

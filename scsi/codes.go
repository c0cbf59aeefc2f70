package scsi

// The errors of this project's logical units and front ends, under the names
// of SPC-4, annex F. Each is an error value: return it as it is, or wrapped.
var (
	ErrNotReady                    = Sense{Key: NotReady, Code: 0x0400}
	ErrBecomingReady               = Sense{Key: NotReady, Code: 0x0401}
	ErrMediumNotPresent            = Sense{Key: NotReady, Code: 0x3A00}
	ErrMediumNotPresentTrayClosed  = Sense{Key: NotReady, Code: 0x3A01}
	ErrMediumNotPresentTrayOpen    = Sense{Key: NotReady, Code: 0x3A02}
	ErrUnrecoveredRead             = Sense{Key: MediumError, Code: 0x1100}
	ErrUncorrectable               = Sense{Key: MediumError, Code: 0x1105}
	ErrInternal                    = Sense{Key: HardwareError, Code: 0x4400}
	ErrParameterListLength         = Sense{Key: IllegalRequest, Code: 0x1A00}
	ErrInvalidOpcode               = Sense{Key: IllegalRequest, Code: 0x2000}
	ErrLBAOutOfRange               = Sense{Key: IllegalRequest, Code: 0x2100}
	ErrInvalidFieldInCDB           = Sense{Key: IllegalRequest, Code: 0x2400}
	ErrLogicalUnitNotSupported     = Sense{Key: IllegalRequest, Code: 0x2500}
	ErrInvalidFieldInParameterList = Sense{Key: IllegalRequest, Code: 0x2600}
	ErrCommandSequence             = Sense{Key: IllegalRequest, Code: 0x2C00}
	ErrIncompatibleMedium          = Sense{Key: IllegalRequest, Code: 0x3002}
	ErrSavingNotSupported          = Sense{Key: IllegalRequest, Code: 0x3900}
	ErrRemovalPrevented            = Sense{Key: IllegalRequest, Code: 0x5302}
	ErrIllegalMode                 = Sense{Key: IllegalRequest, Code: 0x6400}
	ErrMediumMayHaveChanged        = Sense{Key: UnitAttention, Code: 0x2800}
	ErrPowerOn                     = Sense{Key: UnitAttention, Code: 0x2900}
	ErrTargetReset                 = Sense{Key: UnitAttention, Code: 0x2902}
	ErrDeviceReset                 = Sense{Key: UnitAttention, Code: 0x2903}
	ErrNexusLoss                   = Sense{Key: UnitAttention, Code: 0x2907}
	ErrModeParametersChanged       = Sense{Key: UnitAttention, Code: 0x2A01}
	ErrCommandsCleared             = Sense{Key: UnitAttention, Code: 0x2F00}
	ErrInquiryDataChanged          = Sense{Key: UnitAttention, Code: 0x3F03}
	ErrReportedLUNsChanged         = Sense{Key: UnitAttention, Code: 0x3F0E}
	ErrUnexpectedUnsolicitedData   = Sense{Key: AbortedCommand, Code: 0x0C0C}
	ErrNotEnoughUnsolicitedData    = Sense{Key: AbortedCommand, Code: 0x0C0D}
	ErrProtocolServiceCRC          = Sense{Key: AbortedCommand, Code: 0x4705}
	ErrIncorrectAmountOfData       = Sense{Key: AbortedCommand, Code: 0x4B00}
)

var codeNames = map[uint16]string{
	0x0000: "NO ADDITIONAL SENSE INFORMATION",
	0x0011: "AUDIO PLAY OPERATION IN PROGRESS",
	0x0012: "AUDIO PLAY OPERATION PAUSED",
	0x0013: "AUDIO PLAY OPERATION SUCCESSFULLY COMPLETED",
	0x0014: "AUDIO PLAY OPERATION STOPPED DUE TO ERROR",
	0x0400: "LOGICAL UNIT NOT READY, CAUSE NOT REPORTABLE",
	0x0401: "LOGICAL UNIT IS IN PROCESS OF BECOMING READY",
	0x0C0C: "WRITE ERROR - UNEXPECTED UNSOLICITED DATA",
	0x0C0D: "WRITE ERROR - NOT ENOUGH UNSOLICITED DATA",
	0x1100: "UNRECOVERED READ ERROR",
	0x1105: "L-EC UNCORRECTABLE ERROR",
	0x1A00: "PARAMETER LIST LENGTH ERROR",
	0x2000: "INVALID COMMAND OPERATION CODE",
	0x2100: "LOGICAL BLOCK ADDRESS OUT OF RANGE",
	0x2400: "INVALID FIELD IN CDB",
	0x2500: "LOGICAL UNIT NOT SUPPORTED",
	0x2600: "INVALID FIELD IN PARAMETER LIST",
	0x2800: "NOT READY TO READY CHANGE, MEDIUM MAY HAVE CHANGED",
	0x2900: "POWER ON, RESET, OR BUS DEVICE RESET OCCURRED",
	0x2902: "SCSI BUS RESET OCCURRED",
	0x2903: "BUS DEVICE RESET FUNCTION OCCURRED",
	0x2907: "I_T NEXUS LOSS OCCURRED",
	0x2A01: "MODE PARAMETERS CHANGED",
	0x2C00: "COMMAND SEQUENCE ERROR",
	0x2F00: "COMMANDS CLEARED BY ANOTHER INITIATOR",
	0x3002: "CANNOT READ MEDIUM - INCOMPATIBLE FORMAT",
	0x3900: "SAVING PARAMETERS NOT SUPPORTED",
	0x3A00: "MEDIUM NOT PRESENT",
	0x3A01: "MEDIUM NOT PRESENT - TRAY CLOSED",
	0x3A02: "MEDIUM NOT PRESENT - TRAY OPEN",
	0x3F03: "INQUIRY DATA HAS CHANGED",
	0x3F0E: "REPORTED LUNS DATA HAS CHANGED",
	0x4400: "INTERNAL TARGET FAILURE",
	0x4705: "PROTOCOL SERVICE CRC ERROR",
	0x4B00: "DATA PHASE ERROR",
	0x5302: "MEDIUM REMOVAL PREVENTED",
	0x6400: "ILLEGAL MODE FOR THIS TRACK",
}

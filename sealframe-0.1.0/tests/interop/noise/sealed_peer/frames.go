package main

import (
	"encoding/binary"
	"errors"
	"fmt"
)

const (
	magic       = "sealfram"
	controlBit  = 1 << 31
	maxControl  = 65536
	maxHello    = 512
	minRecord   = 17
	maxRecord   = 65535
	firstRecord = 1024 - 4
	rekeyEvery  = 4096
	maxMessage  = 1 << 24

	opHandshake   = 0x41
	opHello       = 0x42
	opWelcome     = 0x43
	opClose       = 0x44
	opGoaway      = 0x85
	opUnsupported = 0x86
	opPing        = 0x07
	opPong        = 0x88
	opPad         = 0x8B

	codeVersion = 4
	codeRefused = 5

	fieldMaxFrame       = 1
	fieldClientID       = 7
	fieldFramesReceived = 8
)

func u16(value int) []byte {
	return []byte{byte(value), byte(value >> 8)}
}

func u32(value uint32) []byte {
	data := make([]byte, 4)
	binary.LittleEndian.PutUint32(data, value)
	return data
}

func u64(value uint64) []byte {
	data := make([]byte, 8)
	binary.LittleEndian.PutUint64(data, value)
	return data
}

func control(opcode byte, body []byte) []byte {
	frame := append(u32(controlBit|uint32(1+len(body))), opcode)
	return append(frame, body...)
}

func message(payload []byte) []byte {
	return append(u32(uint32(len(payload))), payload...)
}

func field(kind int, value []byte) []byte {
	return append(append(u16(kind), u16(len(value))...), value...)
}

func fields(data []byte) (map[uint16][]byte, error) {
	found := map[uint16][]byte{}
	previous := -1
	for len(data) > 0 {
		if len(data) < 4 {
			return nil, errors.New("a field's head is cut short")
		}
		kind, length := binary.LittleEndian.Uint16(data), int(binary.LittleEndian.Uint16(data[2:]))
		data = data[4:]
		if int(kind) <= previous || len(data) < length {
			return nil, fmt.Errorf("field %d is out of order or cut short", kind)
		}
		previous = int(kind)
		found[kind] = data[:length]
		data = data[length:]
	}
	return found, nil
}

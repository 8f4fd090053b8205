"""What the machine that the node runs on says of itself: load, memory, disk, temperatures, battery;
on a Raspberry Pi its sensors are among them."""

from __future__ import annotations

from pathlib import Path

import psutil


def machine_sensors(folder: Path) -> dict[str, tuple[str, str]]:
    """Values with their units, by channel; those that the machine does not have are left out.

    Args:
        folder: on the disk that counts.
    """
    found: dict[str, tuple[str, str]] = {
        "CPU.LOAD": (f"{psutil.cpu_percent():03.0f}", "%"),
        "MEM.USED": (f"{psutil.virtual_memory().percent:03.0f}", "%"),
        "DISK.USED": (f"{psutil.disk_usage(str(folder)).percent:03.0f}", "%"),
    }
    read = getattr(psutil, "sensors_temperatures", dict)
    for chip, readings in read().items():
        for place, one in enumerate(readings):
            name = f"TEMP.{chip}.{one.label or place}".upper().replace(" ", "_")
            found[name] = (f"{one.current:+.1f}", "C")
    battery = psutil.sensors_battery() if hasattr(psutil, "sensors_battery") else None
    if battery is not None:
        found["BATTERY"] = (f"{battery.percent:03.0f}", "%")
        found["POWER.PLUGGED"] = ("yes" if battery.power_plugged else "no", "")
    return found

"""What do outputs alone tell? Loss, accuracy, agreement, ensembles and calibration; no network in sight."""

"""Amazon Bedrock over boto3: Converse and ConverseStream, discovery, regions in order of preference with fail-over.

Lives in the model worker; boto3 is imported with the first request.
"""
